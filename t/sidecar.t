#!/usr/bin/perl

# agent-canaryd against a real Redis and nginx that are made up here: what it
# does when a candidate fails, when Redis hangs, when it is killed, and in a
# fleet.  AGENT_CANARYD is the program, default build/agent-canaryd.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256_hex);
use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use POSIX qw(:sys_wait_h);
use Test::More;
use Time::HiRes qw(sleep time);

my $program = $ENV{AGENT_CANARYD} // 'build/agent-canaryd';
plan skip_all => "no $program" unless -x $program;
plan skip_all => 'no redis-server' if system('which redis-server >/dev/null');

my $dir = tempdir('canaryd-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my (%child, $redis_port, $redis_pid);
my $me = $$;

END {
    if ($$ == $me) {
        my $status = $?;
        kill 'CONT', $_ for keys %child;
        kill 'KILL', $_ for keys %child;
        waitpid $_, 0 for keys %child;
        $? = $status;
    }
}

sub free_port {
    my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1');
    return $s->sockport;
}

sub child {
    my ($code) = @_;
    my $pid = fork() // die "fork: $!";
    if (!$pid) { srand($$ ^ time); $code->(); POSIX::_exit(0); }
    $child{$pid} = 1;
    return $pid;
}

sub stop {
    my ($pid, $signal) = @_;
    kill $signal // 'KILL', $pid;
    waitpid $pid, 0;
    delete $child{$pid};
    return $?;
}

sub wait_for {
    my ($seconds, $code) = @_;
    my $until = time + $seconds;
    while (time < $until) {
        my $value = eval { $code->() };
        return $value if $value;
        sleep 0.02;
    }
    return;
}

# --- Redis

sub redis_start {
    $redis_port = free_port();
    my @acl = ("user default on nopass ~* &* +\@all",
        "user canary-sidecar on >secret resetkeys "
        . "%R~agent-canary:flag:* %R~agent-canary:trip:* "
        . "resetchannels -\@all +get +ping +role "
        . "(%W~agent-canary:trip:* resetchannels -\@all +set) "
        . "(%RW~agent-canary-fleet:* resetchannels -\@all +get +set +hset "
        . "+hdel +hgetall +expire +xadd +watch +unwatch +multi +exec)");
    open my $f, '>', "$dir/users.acl" or die;
    print $f "$_\n" for @acl;
    close $f;
    $redis_pid = child(sub {
        open STDOUT, '>', "$dir/redis.log";
        exec 'redis-server', '--port', $redis_port, '--bind', '127.0.0.1',
            '--save', '', '--appendonly', 'no', '--aclfile',
            "$dir/users.acl", '--dir', $dir;
    });
    wait_for(5, sub { redis('PING') eq 'PONG' }) or die 'no redis';
}

sub redis {
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$redis_port",
        Timeout => 2) or die "redis: $!";
    print $s '*' . @_ . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @_;
    return redis_reply($s);
}

sub redis_reply {
    my ($s) = @_;
    my $line = <$s> // die 'redis closed';
    $line =~ s/\r\n//;
    my $type = substr $line, 0, 1, '';
    return $line if $type eq '+' || $type eq ':' || $type eq '-';
    return if $line < 0;
    return [ map { redis_reply($s) } 1 .. $line ] if $type eq '*';
    read $s, my $data, $line + 2;
    return substr $data, 0, $line;
}

sub audit { return scalar @{ redis('XRANGE', 'agent-canary-fleet:audit',
                                   '-', '+') } }

# --- an nginx that is made up: its counters grow with time

my @fields = qw(requests errors_status errors_connect errors_timeout
    errors_deadline errors_stream errors_in_band denied escalated
    client_aborts keyless overrides cost_known cost_unpriced cost_usd
    cost_capped_usd cost_capped_usd2 cost_cap_usd tokens_input
    tokens_output first_byte_ms latency_ms);

sub nginx_start {
    my (%opt) = @_;
    my $port = free_port();
    my $pid = child(sub { nginx_run($port, %opt) });
    wait_for(5, sub { http($port, 'GET', '/ctl') }) or die 'no nginx';
    return { port => $port, pid => $pid };
}

sub nginx_run {
    my ($port, %opt) = @_;
    my %s = (boot => sprintf('%08x%08x', rand 2**32, rand 2**32), epoch => 1,
        percent => 25, c => 0, b => 0, err => 0, flags => 1, %opt);
    my $listen = IO::Socket::INET->new(Listen => 16, ReuseAddr => 1,
        LocalAddr => "127.0.0.1:$port") or die;
    my $select = IO::Select->new($listen);
    my ($last, %n, @trips, %trip) = (time);
    my %buffer;

    while (1) {
        my @ready = $select->can_read(0.05);
        my $now = time;
        my $dt = $now - $last;
        $last = $now;
        $n{b} += $s{b} * $dt;
        if (!$trip{epoch} || $trip{epoch} < $s{epoch}) {
            $n{part} += $s{c} * $dt;
            my $new = int $n{part};
            $n{part} -= $new;
            $n{c} += $new;
            $n{e} += $new * $s{err};
        }
        for my $fh (@ready) {
            if ($fh == $listen) {
                my $c = $listen->accept or next;
                $select->add($c);
                $buffer{$c} = '';
                next;
            }
            my $got = sysread $fh, my $data, 65536;
            if (!$got) { $select->remove($fh); close $fh; next; }
            $buffer{$fh} .= $data;
            next unless $buffer{$fh} =~ /^(\w+) (\S+).*?\r\n\r\n(.*)/s;
            my ($method, $url, $body) = ($1, $2, $3);
            my ($len) = $buffer{$fh} =~ /Content-Length: (\d+)/i;
            next if length $body < ($len // 0);
            $buffer{$fh} = '';
            my $answer = '{}';
            if ($url =~ m{/ctl\??(.*)}) {
                for (split /&/, $1) {
                    my ($k, $v) = split /=/;
                    $s{$k} = $v;
                }
                $answer = encode_json({ trips => \@trips, n => \%n });
            } elsif ($url =~ m{/trip$}) {
                my $t = eval { decode_json($body) } // {};
                push @trips, { %$t, when => $now };
                %trip = (%$t, raw => $body);
                $answer = '{"applied":true}';
            } elsif ($s{hang}) {
                next;
            } elsif ($s{junk}) {
                $answer = '{"boot_id":"x","flags":[';
            } else {
                $answer = nginx_status(\%s, \%n, \%trip);
            }
            syswrite $fh, "HTTP/1.1 200 OK\r\nContent-Length: "
                . length($answer) . "\r\n\r\n$answer";
        }
    }
}

sub nginx_arm {
    my ($requests, $errors) = @_;
    my %v = map { $_ => 0 } @fields;
    $v{requests} = int($requests // 0);
    $v{errors_status} = int($errors // 0);
    $v{latency_ms} = '"0,0,0,' . $v{requests} . '"';
    $v{first_byte_ms} = '""';
    return '{"in_flight":0,' . join(',', map { "\"$_\":$v{$_}" } @fields)
        . '}';
}

sub nginx_status {
    my ($s, $n, $trip) = @_;
    my $tripped = defined $trip->{epoch} && $trip->{epoch} >= $s->{epoch};
    my $record = defined $trip->{epoch}
        ? "{\"epoch\":$trip->{epoch},\"percent\":$trip->{percent},"
          . "\"record\":$trip->{raw}}" : 'null';
    my $guardrails = $s->{action}
        ? "{\"action\":\"$s->{action}\"}" : 'null';
    my @flags = map {
        my $name = $_ == 1 ? 'support' : "flag$_";
        '{"name":"' . $name . '","state":"ok","percent":' . $s->{percent}
        . ',"enabled":true,"epoch":' . $s->{epoch} . ',"tripped":'
        . ($tripped ? 'true' : 'false') . ',"trip":' . $record
        . ',"stages":[1,5,25,50,100],"bundle":{"baseline":"v41",'
        . '"candidate":"v42"},"guardrails":' . $guardrails
        . ',"arms":{"baseline":' . nginx_arm($n->{b}, 0) . ',"candidate":'
        . nginx_arm($n->{c}, $n->{e}) . '}}'
    } 1 .. $s->{flags};
    return '{"version":"0.1.0","boot_id":"' . $s->{boot} . '","clock_ms":'
        . int(time * 1000) . ',"redis":{"state":"ready","fresh":true},'
        . '"flags":[' . join(',', @flags) . ']}';
}

sub http {
    my ($port, $method, $url) = @_;
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port",
        Timeout => 2) or return '';
    print $s "$method $url HTTP/1.0\r\nConnection: close\r\n\r\n";
    my $answer = '';
    while ($answer !~ /\r\n\r\n/ || $answer =~ /Content-Length: (\d+)/i
        && length($answer) - index($answer, "\r\n\r\n") - 4 < $1)
    {
        last unless IO::Select->new($s)->can_read(2);
        last unless sysread $s, $answer, 65536, length $answer;
    }
    return $answer =~ /\r\n\r\n(.*)/s ? $1 : '';
}

sub ctl { return decode_json(http($_[0]{port}, 'GET', "/ctl?$_[1]")) }
sub trips { return @{ ctl($_[0], '')->{trips} } }

# --- the sidecar

sub sidecar {
    my ($nginx, $name, @more) = @_;
    open my $f, '>', "$dir/password" or die;
    print $f "secret\n";
    close $f;
    chmod 0600, "$dir/password";
    return child(sub {
        open STDERR, '>>', "$dir/$name.log";
        exec $program, '--nginx', "http://127.0.0.1:$nginx->{port}/canary/",
            '--redis', "redis://127.0.0.1:$redis_port", '--redis-user',
            'canary-sidecar', '--redis-password-file', "$dir/password",
            '--instance', $name, @more;
    });
}

sub log_of { open my $f, '<', "$dir/$_[0].log" or return ''; local $/;
             return <$f> }

# --- the stories

redis_start();

subtest 'a total failure' => sub {
    my $port = free_port();
    my ($hook, @calls) = (free_port());
    open my $f, '>', "$dir/key" or die;
    print $f "hook key\n";
    close $f;
    chmod 0600, "$dir/key";
    my $listen = IO::Socket::INET->new(Listen => 5, ReuseAddr => 1,
        LocalAddr => "127.0.0.1:$hook") or die;

    my $nginx = nginx_start(b => 60, c => 20);
    my $pid = sidecar($nginx, 'one', '--listen', "127.0.0.1:$port",
        '--state', "$dir/one.state", '--webhook',
        "http://127.0.0.1:$hook/x", '--webhook-secret-file', "$dir/key");

    sleep 2;
    is(scalar trips($nginx), 0, 'a healthy candidate is left alone');
    like(http($port, 'GET', '/healthz'), qr/"healthy":true/, 'healthz');

    my $start = time;
    ctl($nginx, 'err=1');
    my ($trip) = wait_for(10, sub { (trips($nginx))[0] });
    ok($trip, 'tripped at nginx') or diag log_of('one');
    cmp_ok($trip->{when} - $start, '<', 3, sprintf 'within %.2f s',
        $trip->{when} - $start);
    is($trip->{percent}, 0, 'to nothing');
    like($trip->{reason}, qr/requests to the candidate failed/, 'sentence');
    cmp_ok($trip->{evidence}{e_value}, '>=', $trip->{evidence}{e_limit},
        'evidence');

    my $key = wait_for(3, sub { redis('GET', 'agent-canary:trip:support') });
    is(decode_json($key)->{epoch}, 1, 'tripped in Redis');
    ok(wait_for(3, sub { audit() == 1 }), 'an audit entry')
        or diag log_of('one');
    like(log_of('one'), qr/redis-cli HSET agent-canary:flag:support epoch 2/,
        'the line that lifts it');

    ok(IO::Select->new($listen)->can_read(5), 'the webhook is called');
    my $c = $listen->accept;
    my $request = '';
    while ($request !~ /\r\n\r\n.*\}\}$/s) {
        last unless IO::Select->new($c)->can_read(2);
        sysread $c, $request, 65536, length $request or last;
    }
    print $c "HTTP/1.1 204 No Content\r\n\r\n";
    close $c;
    my ($body) = $request =~ /\r\n\r\n(.*)/s;
    my ($t, $v1) = $request =~ /X-Agent-Canary-Signature: t=(\d+),v1=(\w+)/;
    is($v1, hmac_sha256_hex("$t.$body", 'hook key'), 'and signed');
    is(decode_json($body)->{id}, 'support:1:0', 'with an id');

    ok(wait_for(2, sub { http($port, 'GET', '/metrics')
        =~ /agent_canaryd_flag_trip_pending\{flag="support"\} 0/ }),
        'read back at both');
    my $metrics = http($port, 'GET', '/metrics');
    like($metrics, qr/agent_canaryd_trips_total\{flag="support"\} 1/,
        'metric');
    if (system('which promtool >/dev/null') == 0) {
        open my $p, '|-', 'promtool check metrics >' . "$dir/p.log 2>&1";
        print $p $metrics;
        close $p;
        is(-s "$dir/p.log", 0, 'promtool') or diag `cat $dir/p.log`;
    }

    # killed, and started again

    sleep 1.2;
    stop($pid, 'KILL');
    $pid = sidecar($nginx, 'one', '--state', "$dir/one.state");
    sleep 2.5;
    is(audit(), 1, 'killed and started: no second audit entry');
    is(scalar trips($nginx), 1, 'and no second trip');

    # Redis forgets, as after a failover

    redis('DEL', 'agent-canary:trip:support');
    ok(wait_for(4, sub { redis('GET', 'agent-canary:trip:support') }),
        'Redis is told again');
    sleep 1;
    is(audit(), 1, 'of the same trip');

    is(stop($pid, 'TERM'), 0, 'it stops when told');
    stop($nginx->{pid});
    redis('FLUSHALL');
};

subtest 'Redis hangs' => sub {
    my $nginx = nginx_start(b => 60, c => 20);
    my $pid = sidecar($nginx, 'two');
    sleep 1.5;
    kill 'STOP', $redis_pid;
    sleep 0.5;
    my $start = time;
    ctl($nginx, 'err=1');
    my ($trip) = wait_for(10, sub { (trips($nginx))[0] });
    ok($trip, 'tripped at nginx');
    cmp_ok($trip->{when} - $start, '<', 3, sprintf 'within %.2f s',
        $trip->{when} - $start);
    kill 'CONT', $redis_pid;
    ok(wait_for(6, sub { redis('GET', 'agent-canary:trip:support') }),
        'and in Redis, when it is back');
    ok(wait_for(3, sub { audit() == 1 }), 'one audit entry');
    stop($pid, 'TERM');
    stop($nginx->{pid});
    redis('FLUSHALL');
};

subtest 'killed in the middle' => sub {
    my $nginx = nginx_start(b => 30, c => 10);
    my $kills = 0;
    my $start = time;
    ctl($nginx, 'err=1');
    my $pid = sidecar($nginx, 'three', '--state', "$dir/three.state",
        '--interval', '50ms');
    while (time - $start < 12) {
        sleep 0.05 + rand 0.6;
        stop($pid, 'KILL');
        $kills++;
        $pid = sidecar($nginx, 'three', '--state', "$dir/three.state",
            '--interval', '50ms');
    }
    ok(wait_for(5, sub { audit() == 1 }), "an audit entry, $kills kills");
    ok(scalar trips($nginx), 'tripped');
    stop($pid, 'TERM');
    unlike(log_of('three'), qr/damaged/, 'the state file was never damaged');
    is(audit(), 1, 'exactly one');
    stop($nginx->{pid});
    redis('FLUSHALL');
};

subtest 'a fleet' => sub {

    my (@nginx, @pid);
    for my $i (1 .. 3) {
        push @nginx, nginx_start(b => 30, c => 0.25);
        push @pid, sidecar($nginx[-1], "fleet$i", '--state',
            "$dir/fleet$i.state");
    }
    my $twin = sidecar($nginx[0], 'twin');
    sleep 2;
    my $start = time;
    ctl($_, 'err=1') for @nginx;
    ok(wait_for(60, sub { redis('GET', 'agent-canary:trip:support') }),
        'tripped together') or diag log_of('fleet1');
    my $requests = 0;
    my @alone = map { ctl($_, '')->{n}{e} } @nginx;
    note sprintf 'after %.1f s, failures %s', time - $start,
        join ' ', map { sprintf '%.1f', $_ } @alone;
    cmp_ok($_, '<', 5, 'one alone had no evidence') for @alone;
    my $t = decode_json(redis('GET', 'agent-canary:trip:support'));
    note "$t->{by}: ", encode_json($t->{evidence});
    is($t->{evidence}{instances}, 3, 'three nginx');
    ok(wait_for(5, sub { audit() == 1 }), 'one audit entry');
    sleep 1;
    is(audit(), 1, 'and no more');
    stop($_, 'TERM') for @pid, $twin;
    stop($_->{pid}) for @nginx;
    redis('FLUSHALL');
};

subtest 'no data' => sub {
    my $port = free_port();
    my $nginx = nginx_start(b => 30, c => 10);
    my $pid = sidecar($nginx, 'five', '--listen', "127.0.0.1:$port");
    ok(wait_for(4, sub { http($port, 'GET', '/healthz')
                         =~ /"healthy":true/ }), 'healthy');
    ctl($nginx, 'junk=1&err=1');
    ok(wait_for(6, sub { http($port, 'GET', '/healthz')
                         =~ /"healthy":false/ }), 'junk is no data');
    ctl($nginx, 'junk=0&hang=1');
    sleep 2.5;
    like(http($port, 'GET', '/healthz'), qr/"healthy":false/, 'a hang, too');
    is(scalar trips($nginx), 0, 'and nothing is tripped');
    ctl($nginx, 'hang=0');
    ok(wait_for(8, sub { (trips($nginx))[0] }), 'until there is data');
    stop($pid, 'TERM');
    stop($nginx->{pid});
    redis('FLUSHALL');
};

subtest 'step back and notify' => sub {
    my $nginx = nginx_start(b => 60, c => 20, action => 'step_back');
    my $pid = sidecar($nginx, 'six');
    sleep 1;
    ctl($nginx, 'err=1');
    my ($trip) = wait_for(8, sub { (trips($nginx))[0] });
    is($trip->{percent}, 5, 'from 25 to 5 %');
    stop($pid, 'TERM');
    stop($nginx->{pid});
    redis('FLUSHALL');

    $nginx = nginx_start(b => 60, c => 20, action => 'notify');
    $pid = sidecar($nginx, 'seven');
    sleep 1;
    ctl($nginx, 'err=1');
    ok(wait_for(8, sub { audit() == 1 }), 'a notice is in the audit');
    sleep 2;
    is(audit(), 1, 'once');
    is(scalar trips($nginx), 0, 'and nothing is tripped');
    stop($pid, 'TERM');
    stop($nginx->{pid});
    redis('FLUSHALL');
};

subtest 'Redis refuses' => sub {
    my $port = free_port();
    my $nginx = nginx_start(b => 60, c => 20);
    my $pid = sidecar($nginx, 'eight', '--listen', "127.0.0.1:$port");
    sleep 1;
    redis('CONFIG', 'SET', 'maxmemory', '1');
    ctl($nginx, 'err=1');
    ok(wait_for(6, sub { (trips($nginx))[0] }), 'tripped at nginx');
    sleep 1.5;
    ok(!redis('GET', 'agent-canary:trip:support'), 'Redis takes nothing');
    like(http($port, 'GET', '/metrics'),
        qr/^agent_canaryd_redis_refusing 1/m, 'which is visible');
    redis('CONFIG', 'SET', 'maxmemory', '0');
    ok(wait_for(4, sub { redis('GET', 'agent-canary:trip:support') }),
        'until it does');
    ok(wait_for(3, sub { audit() == 1 }), 'one audit entry');

    # an owner lifts the trip, and nothing is better

    ctl($nginx, 'epoch=2');
    ok(wait_for(9, sub { (trips($nginx))[-1]{epoch} == 2 }),
        'another epoch, another trip');
    ok(wait_for(3, sub { audit() == 2 }), 'with its own audit entry');
    stop($pid, 'TERM');
    stop($nginx->{pid});
    redis('FLUSHALL');
};

subtest 'Sentinel' => sub {
    my $port = free_port();
    open my $f, '>', "$dir/sentinel.conf" or die;
    print $f "port $port\nbind 127.0.0.1\ndir $dir\n",
        "sentinel monitor mine 127.0.0.1 $redis_port 1\n";
    close $f;
    my $sentinel = child(sub {
        open STDOUT, '>', "$dir/sentinel.log";
        exec 'redis-sentinel', "$dir/sentinel.conf";
    });
    sleep 1;
    my $nginx = nginx_start(b => 60, c => 20, err => 1);
    my $pid = child(sub {
        open STDERR, '>>', "$dir/nine.log";
        exec $program, '--nginx', "http://127.0.0.1:$nginx->{port}/canary/",
            '--redis', "redis://127.0.0.1:$port", '--redis',
            'redis://127.0.0.1:1', '--sentinel', 'mine', '--instance',
            'nine';
    });
    ok(wait_for(8, sub { redis('GET', 'agent-canary:trip:support') }),
        'the master is found') or diag log_of('nine');
    stop($pid, 'TERM');
    stop($_) for $sentinel, $nginx->{pid};
};

done_testing();

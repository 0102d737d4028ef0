#!/usr/bin/env perl

# Whatever happens to Redis: no request of a client fails or waits, no user
# moves, the status and the log tell it, and all heals without a restart.
# (Rows R1, R2, R8 to R12 of the fault matrix.)

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;
use Time::HiRes qw(time);

use lib dirname(__FILE__) . '/lib';
use Canary::Redis;
use Canary::Story;
use Canary::Util qw(slow wait_until);

my $story = Canary::Story->new(state => 1, workers => 2,
                               server => <<'END');
        location /other {
            agent_canary other key=$http_x_user_id
                         baseline=baseline_agent candidate=candidate_agent;
            proxy_pass http://agent_canary;
        }
END
my $redis = $story->redis;
my $expected = $story->expected(50);


sub write_flags {
    $redis->flag(support => percent => 50, epoch => 3);
    $redis->flag(other => percent => 100);
}


write_flags();
my $nginx = $story->start;
$nginx->wait_flag('support', state => 'ok') or die 'no flag';


# Runs a fault and its end under load.
sub under_load {
    my ($what, $fault) = @_;
    my $load = $story->load($expected);

    $load->wait_requests(40);
    $fault->($load);
    $load->wait_requests(40);

    my $result = $story->end_load($load, $what);
    $story->nobody_waited($result, "$what: no request waited");
}


sub redis_is {
    my ($state, $what) = @_;
    my $since = time;
    my $status = $nginx->wait_redis($state);
    ok($status, "$what: the link is $state");
    return ($status, time - $since);
}


sub heals {
    my ($what) = @_;
    redis_is('ready', "$what, healed");
    ok($nginx->wait_flag('support', state => 'ok'), "$what, healed: flag ok");
}


sub flag_is {
    my ($state, $what, %more) = @_;
    ok($nginx->wait_flag('support', state => $state, %more),
       "$what: the flag is $state")
        or diag(explain($nginx->flag('support')));
}


# -- gone ---------------------------------------------------------------------

under_load('SIGKILL of Redis', sub {
    my ($load) = @_;
    $redis->kill_hard;
    my ($status, $seconds) = redis_is('failed', 'SIGKILL');
    ok($seconds < 2.5 * slow(), 'it is noticed within 2 s');
    like($status->{redis}{reason}, qr/\S/, 'the status says why');
    flag_is('stale', 'SIGKILL');
    $load->wait_requests(100);

    $redis->{inited} = 0;
    $redis->start;
    flag_is('store_empty', 'restarted empty');
    write_flags();
    heals('SIGKILL and restart');
});


# -- frozen -------------------------------------------------------------------

under_load('SIGSTOP of Redis', sub {
    my ($load) = @_;
    my $since = time;
    $redis->freeze;
    wait_until(10, sub { !$nginx->status->{redis}{fresh} });
    my $seconds = time - $since;
    ok($seconds < 3.5 * slow(), 'noticed within about 2 s')
        or diag("it took $seconds s");
    $load->wait_requests(100);
    $redis->thaw;
    heals('SIGSTOP and SIGCONT');

    $redis->flag(support => bundle_candidate => 'after');
    ok(wait_until(5, sub {
        ($nginx->flag('support')->{bundle}{candidate} // '') eq 'after';
    }), 'a write after SIGCONT is seen');
});


# -- emptied ------------------------------------------------------------------

for my $command ('FLUSHALL', 'FLUSHDB') {
    under_load($command, sub {
        $redis->cmd($command);
        flag_is('store_empty', $command);
        $redis->{inited} = 0;
        write_flags();
        heals($command);
    });
}

under_load('SWAPDB', sub {
    $redis->cmd('SWAPDB', 0, 1);

    # nothing tells of it: the re-read of every 5 s has to find it
    flag_is('store_empty', 'SWAPDB');
    $redis->cmd('SWAPDB', 0, 1);
    heals('SWAPDB');
});

under_load('a lost mark of the store', sub {
    $redis->cmd('DEL', 'agent-canary:inited', 'agent-canary:flag:support');
    flag_is('store_empty', 'mark and flag deleted');
    $redis->{inited} = 0;
    write_flags();
    heals('mark and flag');
});


# -- one flag is broken, the other is not -------------------------------------

sub replace_flag {
    my ($what, $reason, @command) = @_;

    under_load($what, sub {
        $redis->cmd('MULTI');
        $redis->cmd('DEL', 'agent-canary:flag:support');
        $redis->cmd(@command);
        $redis->cmd('EXEC');
        flag_is('invalid', $what, reason => $reason);
        is($nginx->flag('other')->{state}, 'ok', "$what: others go on");
        $redis->flag(other => percent => 40);
        ok($nginx->wait_flag('other', percent => 40), 'and change');
        $redis->cmd('MULTI');
        $redis->cmd('DEL', 'agent-canary:flag:support');
        write_flags();
        $redis->cmd('EXEC');
        heals($what);
    });
}


my $key = 'agent-canary:flag:support';

replace_flag('a string instead of a hash', qr/WRONGTYPE/, 'SET', $key, 'x');
replace_flag('a list instead of a hash', qr/WRONGTYPE/, 'RPUSH', $key, 'x');
replace_flag('a value of 10 MB', qr/record|large|bytes|too/i,
             'HSET', $key, 'percent', 50, 'salt', 'x' x 10_000_000);
replace_flag('100,000 fields', qr/\S/, 'HSET', $key,
             'percent', 50, map { ("field-$_", 'x') } 1 .. 100_000);

under_load('a trip of the wrong type', sub {
    $redis->cmd('RPUSH', 'agent-canary:trip:support', 'x');
    flag_is('invalid', 'trip', reason => qr/trip.*WRONGTYPE/);
    $redis->cmd('DEL', 'agent-canary:trip:support');
    heals('trip');
});

under_load('an older epoch', sub {
    $redis->flag(support => epoch => 2, percent => 100);
    flag_is('stale_epoch', 'an older epoch', reason => qr/epoch "2"/);
    $redis->flag(support => epoch => 3, percent => 50);
    heals('the epoch');
});


# -- real refusals ------------------------------------------------------------

under_load('BUSY: a script that does not end', sub {
    $redis->cmd('CONFIG', 'SET', 'busy-reply-threshold', 50);
    my $other = Canary::Redis::connect_client($redis->port);
    my $script = 'while true do end';
    syswrite $other->{socket}, "*3\r\n\$4\r\nEVAL\r\n\$" . length($script)
        . "\r\n$script\r\n\$1\r\n0\r\n";
    wait_until(10, sub { !$nginx->status->{redis}{fresh} });
    ok(!$nginx->status->{redis}{fresh}, 'BUSY is noticed');
    wait_until(10, sub { eval { $redis->cmd('SCRIPT', 'KILL') } });
    heals('BUSY');
});

under_load('CLIENT KILL of its connections, again and again', sub {
    for my $round (1 .. 10) {
        $redis->cmd('CLIENT', 'KILL', 'TYPE', $_, 'SKIPME', 'yes')
            for qw(normal pubsub);
        wait_until(5, sub { $nginx->status->{redis}{state} ne 'ready' });
        $nginx->wait_redis('ready');
    }
    heals('CLIENT KILL');
});

under_load('only the connection with the invalidations is lost', sub {
    $redis->cmd('CLIENT', 'KILL', 'TYPE', 'pubsub');
    wait_until(5, sub { $nginx->status->{redis}{failures} > 0 });
    heals('the subscription');
    $redis->flag(support => bundle_candidate => 'pushed');
    ok(wait_until(3, sub {
        $nginx->flag('support')->{bundle}{candidate} eq 'pushed';
    }), 'it is subscribed again');
});

under_load('DEBUG SLEEP', sub {
    my $other = Canary::Redis::connect_client($redis->port);
    syswrite $other->{socket}, "DEBUG SLEEP 1.5\r\n";
    heals('DEBUG SLEEP');
});


# -- absent at start ----------------------------------------------------------

ok(wait_until(10, sub { !$nginx->status->{state_file}{pending} }),
   'the state file is up to date');
is($nginx->stop, 0, 'nginx stops');
$redis->stop;
$nginx->start;
under_load('started without Redis', sub {
    my ($load) = @_;
    redis_is('failed', 'absent');
    flag_is('stale', 'absent');
    $load->wait_requests(100);
    $redis->{inited} = 0;
    $redis->start;
    write_flags();
    heals('absent at start');
});

is($nginx->stop, 0, 'nginx stops again');
unlink $story->state_path;
$redis->stop;
$nginx->start;
$story->arms_are($story->expected(0, 50),
                 'neither Redis nor a state file: everybody on the baseline');
is($nginx->flag('support')->{state}, 'unknown', 'the state: unknown')
    or diag(explain($nginx->flag('support')));
$redis->{inited} = 0;
$redis->start;
write_flags();
heals('found at last');
$story->arms_are($expected, 'and everybody is where he was');

$story->end;

#!/usr/bin/env perl

# Answers that nobody should give: a hundred megabytes, a byte at a time,
# without end, with numbers that are none or too many.  The worker that passes
# them on takes no more memory for them, counts each once, and the guard goes
# on seeing what it has to see.  (Rows U3 and U5.)

use strict;
use warnings;

use Digest::MD5;
use File::Basename qw(dirname);
use IO::Select;
use JSON::PP qw(encode_json);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Guard qw(rolled_back rules settled);
use Canary::HTTP;
use Canary::Ledger;
use Canary::Script qw(answer chunk head wait_file);
use Canary::Story;
use Canary::Util qw(slow slurp spew wait_until);

use constant {
    MB        => 1_000_000,
    LONG      => 100,                       # MB of a long answer
    PARALLEL  => 8,
    GROWTH_KB => 1024,
};

my $story = Canary::Story->new(workers => 1, api => 'trip',
    location => 'agent_canary_cost $upstream_http_x_agent_cost_usd;');
my $dir = $story->dir;
my $redis = $story->redis;

my %type = (json => 'Content-Type: application/json',
            sse => 'Content-Type: text/event-stream');
my $chunked = 'Transfer-Encoding: chunked';


# -- what the agents say ------------------------------------------------------

my $usage = '"model":"m1","usage":{"prompt_tokens":1000,'
    . '"completion_tokens":200,"total_tokens":1200}';
my $lie = encode_json({ usage => { prompt_tokens => 1,
                                   completion_tokens => 1 } });

# [kind, beginning, what is said again and again, end]
my %long = (
    text    => ['json', '{"choices":[{"message":{"content":"', 'word ',
                "\"}}],$usage}"],
    lies    => ['json', '{"choices":[{"message":{"content":"',
                $lie =~ s/"/\\"/gr, "\"}}],$usage}"],
    numbers => ['json', '{"x":[0', ',1234567890,-1.5e-300', "],$usage}"],
    objects => ['json', '{"x":[{}', ",$lie", "],$usage}"],
    events  => ['sse', '', "data: {\"choices\":[{\"delta\":{\"content\":"
                . "\"word\"}}],\"usage\":null}\n\n",
                "data: {$usage}\n\ndata: [DONE]\n\n"],
    line    => ['sse', 'data: {"x":"', 'word ', "\",$usage}\n\n"],
    pings   => ['sse', '', ": ping\n\n", "data: {$usage}\n\n"],
    blank   => ['sse', '', "\n", "data: {$usage}\n\n"],
);


# A long answer as [bytes, times] each.
sub pieces {
    my ($name, $mb) = @_;
    my (undef, $first, $again, $last) = @{ $long{$name} };
    my $block = $again x int(MB / length $again);
    return ([$first, 1], [$block, $mb], [$last, 1]);
}


sub long_part {
    my ($name, $mb) = @_;
    my @pieces = pieces($name, $mb);
    my $length = 0;
    $length += length($_->[0]) * $_->[1] for @pieces;

    return [head(200, $type{ $long{$name}[0] }, "Content-Length: $length"),
            map { my $piece = $_;
                  sub {
                      Canary::Script::send_all($_[0], $piece->[0])
                          for 1 .. $piece->[1];
                  } } @pieces];
}


# One byte at a time, each in a packet of its own, until a file is there.
sub drip_until {
    my ($path, $byte) = @_;
    return sub {
        my ($client) = @_;

        while (!-e $path) {
            Canary::Script::send_all($client, chunk($byte));
            select undef, undef, undef, 0.01;
        }
    };
}


sub for_ever {
    my ($bytes) = @_;
    return sub { Canary::Script::send_all($_[0], chunk($bytes)) while 1 };
}


my $event = "data: {\"choices\":[{\"delta\":{\"content\":\"word\"}}]}\n\n";

# What is no count of tokens, and the largest that is one.
my %count = (nan => 'NaN', infinity => 'Infinity', zero => '-0',
             half => '0.5', huge => '1e400', long => '9' x 400,
             wide => '18446744073709551616', more => '1000000000001',
             most => '1000000000000');

my %parts = (
    (map { ("count_$_" => [answer(200, "{\"model\":\"m1\",\"usage\":{"
                . "\"prompt_tokens\":$count{$_},\"completion_tokens\":1,"
                . "\"total_tokens\":2}}", $type{json})]) } keys %count),
    (map { ("$_.long" => long_part($_, LONG), "$_.short" => long_part($_, 1)) }
         keys %long),
    drip => [head(200, $type{sse}, $chunked), drip_until("$dir/enough", ':'),
             chunk("\n\ndata: {$usage}\n\n"), chunk('')],
    endless => [head(200, $type{sse}, $chunked),
                chunk("data: {$usage}\n\n"), for_ever($event x 1000)],
    endless_json => [head(200, $type{json}, $chunked),
                     chunk("{$usage,\"x\":\""), for_ever('word ' x 1000)],
);

my $agent = Canary::Script->start(dir => $dir, name => 'script',
                                  parts => \%parts);


# -- the router ---------------------------------------------------------------

spew("$dir/prices.json", encode_json({ m1 => {
    input_cost_per_token => 1e-6, output_cost_per_token => 2e-6 } }));
my $usd = 1000 * 1e-6 + 200 * 2e-6;

$story->{http} = <<"END";
    upstream script { server @{[$agent->address]}; }
    agent_canary_prices $dir/prices.json;
    agent_canary_usage auto;
    proxy_read_timeout 20s;
    proxy_max_temp_file_size 0;
END

my %location = (on => '', plain => 'proxy_buffering off;',
                deadline => 'proxy_buffering off;'
                            . ' agent_canary_deadline 150ms;');

$story->{server} = join '', map { <<"END" } sort keys %location;
        location /$_/ {
            agent_canary hostile key=\$http_x_user_id
                         baseline=script candidate=script;
            proxy_pass http://agent_canary;
            $location{$_}
        }
END

$redis->flag('hostile', percent => 100);
$redis->flag('support', percent => 50, guardrails => rules(
    [metric => 'error_rate', max => 0.05],
    [metric => 'cost_usd', max => 1_000_000]));
my $nginx = $story->start;
$nginx->wait_flag('hostile', state => 'ok') or die 'no flag';
my $ledger = Canary::Ledger->new($nginx, 'hostile');
my %read = (tokens_input => 1000, tokens_output => 200, cost_known => 1,
            cost_unpriced => 0, cost_usd => $usd);


sub ask {
    my ($path) = @_;
    my $socket = Canary::HTTP::connect_to($nginx->address);
    syswrite $socket, Canary::HTTP::message('GET', $path, undef,
        'X-User-Id' => 'a', Connection => 'close');
    return $socket;
}


# Kilobytes of the worker: now, or at most since forget_peak().
sub memory {
    my ($field) = @_;
    my ($worker) = $nginx->workers;
    my ($kb) = slurp("/proc/$worker/status") =~ /^$field:\s+(\d+)/m;
    return $kb;
}

sub forget_peak {
    my ($worker) = $nginx->workers;
    spew("/proc/$worker/clear_refs", 5);
}


# Reads them side by side: { path => digest of the body }.
sub read_all {
    my (@paths) = @_;
    my $select = IO::Select->new;
    my (%of, %digest);

    for my $path (@paths) {
        my $socket = ask($path);
        $select->add($socket);
        $of{ fileno $socket } = { path => $path, head => '' };
    }

    while ($select->count) {
        my @ready = $select->can_read(20 * slow()) or last;

        for my $socket (@ready) {
            my $c = $of{ fileno $socket };
            my $n = sysread $socket, my $bytes, MB;

            if (!$n) {
                $digest{ $c->{path} } = $c->{body}->hexdigest if $c->{body};
                $select->remove($socket);
            } elsif ($c->{body}) {
                $c->{body}->add($bytes);
            } elsif (($c->{head} .= $bytes) =~ /\r\n\r\n/) {
                $c->{body} = Digest::MD5->new->add($');
            }
        }
    }

    return \%digest;
}


sub expected_digest {
    my ($name, $mb) = @_;
    my $digest = Digest::MD5->new;

    for my $piece (pieces($name, $mb)) {
        $digest->add($piece->[0]) for 1 .. $piece->[1];
    }

    return $digest->hexdigest;
}


# -- a hundred megabytes, eight times at once ---------------------------------

my @names = sort keys %long;
my %way = map { $names[$_] => $_ % 2 ? 'on' : 'plain' } 0 .. $#names;

sub all_of {
    my ($length, $mb) = @_;
    my %path = map { $_ => "/$way{$_}/$_.$length" } @names;
    my $digest = read_all(@path{@names});
    my @wrong = grep { ($digest->{ $path{$_} } // '')
                       ne expected_digest($_, $mb) } @names;

    is("@wrong", '', "$length answers: the same bytes");
    $ledger->expect('candidate', %read) for @names;
    $ledger->check("$length answers: what they said at their end");
}

# with sanitizers what was freed stays for a while
my $allowed = GROWTH_KB * (slow() > 1 ? 100 : 1);

all_of('short', 1) for 1 .. 2;
my $before = memory('VmRSS');
forget_peak();
all_of('long', LONG);
my $grown = memory('VmHWM') - $before;
cmp_ok($grown, '<', $allowed, PARALLEL . ' answers of ' . LONG
       . ' MB at once take no memory of their length');
note("$before kB, at most $grown kB more");


# -- without an end -----------------------------------------------------------

for my $name (qw(endless endless_json)) {
    for my $way (qw(on plain)) {
        $before = memory('VmRSS');
        forget_peak();
        my $socket = ask("/$way/$name");
        my $bytes = 0;

        wait_until(20, sub {
            my $n = sysread $socket, my $some, MB;
            $bytes += $n // 0;
            $bytes > 5 * MB;
        }, 0);
        cmp_ok($bytes, '>', 5 * MB, "/$way/$name: goes on and on");
        is($ledger->read_arms->{candidate}{in_flight}, 1, 'is in flight');
        close $socket;

        my $whole = $name eq 'endless';
        $ledger->expect('candidate', client_aborts => 1,
                        $whole ? %read : ());
        $ledger->check("/$way/$name: until the client has had enough");
        cmp_ok(memory('VmHWM') - $before, '<', $allowed,
               "/$way/$name: takes no memory of its length");
    }
}


# -- a byte at a time ---------------------------------------------------------

my @drips = map { ask("/$_/drip") } qw(on plain deadline);
$ledger->expect('candidate', errors_deadline => 1, first_byte_ms => 0,
                cost_unpriced => 0, in_flight => 3);
$ledger->check('who drips is late at the deadline, and not before');

my %dripped;
ok(wait_until(20, sub {
    for my $socket (@drips) {
        my $n = sysread $socket, my $some, MB;
        $dripped{$socket} += $n if $n;
    }
    return !grep { ($dripped{$_} // 0) < 400 } @drips[1, 2];
}), 'every byte is passed on when it comes');

spew("$dir/enough", '');
ok(wait_until(20, sub {
    !grep { my $n = sysread $_, my $some, MB; !defined $n || $n } @drips;
}), 'in the end they end');
$ledger->expect('candidate', %read, in_flight => -1) for 1, 2;
$ledger->expect('candidate', %read, requests => 0, latency_ms => 0,
                first_byte_ms => 0, in_flight => -1);
$ledger->check('each is counted once, with what it said');


# -- numbers ------------------------------------------------------------------

for my $name (sort keys %count) {
    $nginx->get("/on/count_$name", 'X-User-Id' => 'a');
    $ledger->expect('candidate', $name eq 'most'
        ? (tokens_input => $count{most}, tokens_output => 1, cost_known => 1,
           cost_unpriced => 0, cost_usd => $count{most} * 1e-6 + 2e-6) : ());
    $ledger->check("a count of $name");
}

# dollars in millionths: wrong, and no reason to see nothing any more
$story->agent($_)->set('cost=999999') for qw(baseline candidate);
my $sidecar = $story->sidecar('guard-a');
my $traffic = $story->traffic(rate => 200);
settled($nginx, 150, 'both arms cost a million each time');
ok(!$nginx->flag('support')->{tripped}, 'which is at the limit');
my $value = 'agent_canaryd_rule_value{flag="support",rule="2",'
    . 'metric="cost_usd"}';
ok(wait_until(10, sub { ($sidecar->metric($value) // 0) > 900_000 }),
   'the guard has seen it') or diag($sidecar->log_text);

rolled_back($story, 'costs of millions', sub {
    $story->agent('candidate')->set('error-rate=1');
}, metric => 'error_rate');
$traffic->stop;

$agent->process->stop;
$story->end;

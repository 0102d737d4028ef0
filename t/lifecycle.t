#!/usr/bin/env perl

# What an operator does to nginx, and what happens to its processes: reloads,
# killed workers, a reload that fails, zones of another size, an upgrade of
# the binary.  Users stay where they are.  (Rows N1, N3 to N6, N8, N15.)

use strict;
use warnings;

use File::Basename qw(dirname);
use List::Util qw(max);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::HTTP;
use Canary::Process qw(spawn);
use Canary::Story;
use Canary::Util qw(slow slurp wait_until);

my $story = Canary::Story->new(state => 1, workers => 4);
my $redis = $story->redis;
$redis->flag(support => percent => 50, epoch => 3);
my $nginx = $story->start;
$nginx->wait_flag('support', state => 'ok') or die 'no flag';
my $expected = $story->expected(50);


sub total {
    my $sum = 0;
    my $decisions = $nginx->flag('support')->{decisions};
    $sum += $_ for map { values %$_ } values %$decisions;
    return $sum;
}


sub connections {
    return scalar grep { /name=|cmd=/ && !/cmd=client/ }
        split /\n/, $redis->cmd('CLIENT', 'LIST');
}


sub worker_memory {
    my ($worker) = $nginx->workers;
    my ($kb) = slurp("/proc/$worker/status") =~ /^VmRSS:\s+(\d+)/m;
    return $kb;
}


# -- 100 reloads under load ---------------------------------------------------

# A reload closes kept connections when it likes to; fresh ones each time.
my $load = $story->load($expected, keepalive => 0, rate => 300);
my $boot_id = $nginx->status->{boot_id};
my $before = total();
my ($early, $late) = (0, 0);
my $backwards = 0;

for my $round (1 .. 100) {
    $nginx->reload or die "reload $round did not end";
    # a worker that has hardly begun has touched less: the largest of many
    $early = max($early, worker_memory()) if $round > 10 && $round <= 30;
    $late = max($late, worker_memory()) if $round > 80;
    my $now = total();
    $backwards++ if $now < $before;
    $before = $now;
}

is($backwards, 0, 'tallies never go backwards in 100 reloads');
is($nginx->status->{boot_id}, $boot_id, 'it is one boot');
# sanitizers keep what was freed for a while
my $limit = slow() > 1 ? 3 : 1.15;
ok($late < $early * $limit, 'workers do not grow')
    or diag("$early kB, then $late kB");
ok($nginx->wait_redis('ready'), 'the link is ready');
ok(wait_until(10, sub { connections() == 2 }), 'two connections to Redis')
    or diag($redis->cmd('CLIENT', 'LIST'));
ok(wait_until(10, sub { $nginx->settled }),
   'no old worker lingers');
$redis->flag(support => bundle_candidate => 'reloaded');
ok(wait_until(5, sub {
    $nginx->flag('support')->{bundle}{candidate} eq 'reloaded';
}), 'changes still arrive');
$story->end_load($load, '100 reloads');


# -- streams outlive reloads --------------------------------------------------

$story->agent($_)->set('token-interval=40&tokens=40')
    for qw(baseline candidate);

my $asked = total();
my $stream = spawn('stream', log => $story->dir . '/stream', code => sub {
    print Canary::HTTP::request($nginx->address, 'POST', '/v1/chat/completions',
        '{"stream":true,"messages":[{"role":"user","content":"hi"}]}',
        'X-User-Id' => 'alice')->{body};
});
ok(wait_until(5, sub { total() > $asked }), 'a stream has begun');
$nginx->reload or die 'no reload' for 1 .. 3;
ok(!$nginx->settled, 'its worker is old by now');
is($stream->wait_end(20), 0, 'the stream ends by itself');
my $body = slurp($story->dir . '/stream');
is(scalar(() = $body =~ /^data: /mg), 43, 'with all of its tokens');
like($body, qr/data: \[DONE\]\n\n\z/, 'and its end');
ok(wait_until(10, sub { $nginx->settled }), 'then its worker is gone');


# -- a long answer does not hold the link -------------------------------------

$story->agent('baseline')->set('latency=1500');
my $slow = $story->load({ 'user-00004' => $expected->{'user-00004'} },
                        connections => 1, rate => 1);
$nginx->reload or die 'no reload';
ok(wait_until(10, sub { connections() == 2 }),
   'an old worker that is busy has left Redis');
$story->agent('baseline')->set('latency=0');
$slow->stop;


# -- workers are killed -------------------------------------------------------

$nginx->allow_log(qr/exited on signal 9/);
my %seen;
my $kills = 0;
$load = $story->load($expected, keepalive => 0);

for my $round (1 .. 25) {
    my @workers = $nginx->workers;
    my $victim = $workers[$round % @workers];
    kill 'KILL', $victim;
    $kills++;
    wait_until(10, sub {
        my @now = $nginx->workers;
        @now == 4 && !grep { $_ == $victim } @now;
    }) or die 'no new worker';
    $load->wait_requests(20);
}

my $result = $load->stop;
is($result->{moved}, 0, "$kills workers killed: nobody moved")
    or diag(join '; ', @{ $result->{first} });
ok($result->{failed} <= $kills * 4,
   'and only what was in flight has failed') or diag($result->{failed});
ok($nginx->wait_redis('ready'), 'the link is ready');
$redis->flag(support => bundle_candidate => 'killed');
ok(wait_until(5, sub {
    $nginx->flag('support')->{bundle}{candidate} eq 'killed';
}), 'changes still arrive');

# all at once
$load = $story->load($expected, keepalive => 0);
for my $round (1 .. 5) {
    my %old = map { $_ => 1 } $nginx->workers;
    kill 'KILL', keys %old;
    wait_until(10, sub {
        my @now = $nginx->workers;
        @now == 4 && !grep { $old{$_} } @now;
    });
}
$result = $load->stop;
is($result->{moved}, 0, 'all workers killed, five times: nobody moved');


# -- a reload that fails, then a worker that dies -----------------------------

$nginx->allow_log(qr/\[emerg\]/);
$load = $story->load($expected, keepalive => 0);
my $good = $story->http_conf;
my @breaks = (
    ['a syntax error', sub { $_[0] =~ s/keepalive 16;/keepalive;/r },
     qr/invalid number of arguments/],
    ['an unknown arm', sub { $_[0] =~ s/candidate_agent/other_agent/r },
     qr/unknown upstream/],
    ['an address that is taken', sub { "$_[0] server { listen 256.0.0.1; }" },
     qr/host not found|invalid/],
);

for (@breaks) {
    my ($what, $break, $text) = @$_;
    my ($victim) = $nginx->workers;
    my $log = length $nginx->log_text;

    $nginx->write_conf(http => $break->($good));
    $nginx->process->signal('HUP');
    ok(wait_until(10, sub { substr($nginx->log_text, $log) =~ $text }),
       "a reload with $what fails");
    kill 'KILL', $victim;
    ok(wait_until(10, sub {
        my @now = $nginx->workers;
        @now == 4 && !grep { $_ == $victim } @now;
    }), 'a worker dies, another comes');
    $story->arms_are($expected, 'and serves');
}

$redis->flag(support => bundle_candidate => 'failed');
ok(wait_until(5, sub {
    $nginx->flag('support')->{bundle}{candidate} eq 'failed';
}), 'changes still arrive');
$nginx->reload(http => $good) or die 'no reload';
$result = $load->stop;
is($result->{moved}, 0, 'nobody moved')
    or diag(join '; ', @{ $result->{first} });
ok($result->{failed} <= 3 * 4, 'and only what was in flight has failed');


# -- other zones --------------------------------------------------------------

$redis->trip(support => '{"epoch":3,"percent":20,"by":"test"}');
ok($nginx->wait_flag('support', tripped => 1), 'a trip, to be kept');
$expected = $story->expected(20);
$load = $story->load($expected, keepalive => 0);
$redis->freeze;

for my $change (['a larger zone', 'canary:8m'], ['a smaller zone', 'canary:2m'],
                ['another name', 'other:2m'])
{
    my ($what, $zone) = @$change;
    ok($nginx->reload(http => $good =~ s/canary:4m/$zone/r), "reload: $what");
    $story->arms_are($expected, "$what: everybody stays, Redis or not");
    ok($nginx->flag('support')->{tripped}, "$what: the trip holds");
}

isnt($nginx->status->{boot_id}, $boot_id, 'tallies have a new boot_id');
$story->end_load($load, 'other zones');
$redis->thaw;
ok($nginx->wait_redis('ready'), 'Redis is back');

# the directive goes and comes
my $server = $story->server_conf;
ok($nginx->reload(http => $good, server => $server
                  =~ s/agent_canary support.*?;/agent_canary off;/sr
                  =~ s{http://agent_canary}{http://baseline_agent}r),
   'reload: agent_canary off');
ok($nginx->reload(server => $server), 'reload: on again');
ok($nginx->wait_flag('support', state => 'ok'), 'the flag is known');
$story->arms_are($expected, 'and obeyed');


# -- worker_shutdown_timeout, one worker, more workers ------------------------


ok($nginx->reload(workers => 1, main => 'worker_shutdown_timeout 1s;'),
   'one worker');
$story->arms_are($expected, 'one worker');

ok($nginx->reload(workers => 6), 'six workers');
$story->arms_are($expected, 'six workers');

# the old workers, whatever they do, are gone a second later
ok(wait_until(5, sub { $nginx->settled }),
   'no old worker lingers');

$story->end;

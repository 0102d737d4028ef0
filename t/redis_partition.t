#!/usr/bin/env perl

# The network between nginx and Redis loses one way or both, a connect never
# comes to an end, Redis drops a subscriber that is too slow, or evicts a
# flag: found within seconds, told, and over when it is over.
# (Rows R4, R5, R16 and R17.)

use strict;
use warnings;

use File::Basename qw(dirname);
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(time);

use lib dirname(__FILE__) . '/lib';
use Canary::Redis;
use Canary::Story;
use Canary::Util qw(slow wait_until);

my $story = Canary::Story->new(state => 1, workers => 2);
my $redis = $story->redis;
my $chaos = $story->chaos;
$redis->flag(support => percent => 50, epoch => 3);
my $nginx = $story->start;
$nginx->wait_flag('support', state => 'ok') or die 'no flag';
my $round = 0;


# What is written meanwhile is there afterwards.  A reload between them: a
# worker that has not failed before does not wait long.
sub fault {
    my ($what, $reason, $begin, $end) = @_;
    my $load = $story->load($story->expected(50));
    my $mark = 'round-' . ++$round;

    $load->wait_requests(40);
    my $since = time;
    $begin->();
    ok(wait_until(10, sub { !$nginx->status->{redis}{fresh} }),
       "$what: noticed");
    cmp_ok(time - $since, '<', 4.5 * slow(), "$what: within seconds");
    ok($nginx->wait_flag('support', state => 'stale'), "$what: told");
    ok(wait_until(10, sub { $nginx->status->{redis}{reason} =~ $reason }),
       "$what: with a reason, " . $nginx->status->{redis}{reason});
    $redis->flag(support => bundle_candidate => $mark);
    $load->wait_requests(100);

    $end->();
    ok($nginx->wait_redis('ready'), "$what: over");
    ok(wait_until(5, sub {
        my $flag = $nginx->flag('support');
        $flag->{state} eq 'ok' && $flag->{bundle}{candidate} eq $mark;
    }), "$what: what was written meanwhile is there");

    my $result = $story->end_load($load, $what);
    $story->nobody_waited($result, "$what: no request waited");
    $nginx->reload or die 'no reload';
}


# -- the network --------------------------------------------------------------

for my $mode (['mute', 'what Redis says is lost'],
              ['deaf', 'what nginx says is lost'],
              ['stall', 'all is lost'])
{
    my ($name, $what) = @$mode;
    fault($what, qr/^timed out/, sub { $chaos->set_mode($name) },
          sub { $chaos->set_mode('pass') });
}


# So many connections that the kernel takes no other.
sub fill_backlog {
    my @full;

    for (1 .. 200) {
        my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
            PeerPort => $chaos->port, Blocking => 0) or last;
        push @full, $socket;
        return @full if !IO::Select->new($socket)->can_write(0.2);
    }

    die 'the backlog has no end';
}

my @full;
fault('a connect that never ends', qr/^timed out.* connect/, sub {
    $chaos->process->signal('STOP');
    @full = fill_backlog();
}, sub {
    close $_ for @full;
    $chaos->process->signal('CONT');
});


# -- a subscriber that is too slow --------------------------------------------

# Who holds the link sleeps while Redis has megabytes to tell it.  What is
# left of them in the buffers of the kernel ends without an error.
sub subscribers {
    return scalar grep { / flags=\w*P/ }
        split /\n/, $redis->cmd('CLIENT', 'LIST');
}

$story->{redis_url} = $redis->url;
$nginx->reload(http => $story->http_conf) or die 'no reload';
ok(wait_until(10, sub { $nginx->wait_redis('ready') && subscribers() == 1 }),
   'without the proxy: one subscriber');

my $connects = $nginx->status->{redis}{connects};
my $holder = wait_until(10, sub {
    my $status = $nginx->status;
    $status->{worker} == 0 && $status->{pid};
});
$redis->cmd('CONFIG', 'SET', 'client-output-buffer-limit',
            'pubsub 128kb 64kb 1');
kill 'STOP', $holder;

my $writer = Canary::Redis::connect_client($redis->port);

ok(wait_until(20, sub {
    my $name = 'agent-canary:flag:' . 'x' x 200;
    my $all = join '', map {
        my $key = "$name-$_";
        "*3\r\n\$3\r\nSET\r\n\$" . length($key) . "\r\n$key\r\n\$1\r\n1\r\n";
    } 1 .. 2_000;
    syswrite $writer->{socket}, $all;
    Canary::Redis::read_reply($writer) for 1 .. 2_000;
    !subscribers();
}), 'Redis drops the subscriber that does not read');

$redis->flag(support => percent => 20);
kill 'CONT', $holder;
ok($nginx->wait_flag('support', state => 'ok', percent => 20),
   'it reads all anew');
cmp_ok($nginx->status->{redis}{connects}, '>', $connects, 'and is back');
$story->arms_are($story->expected(20), 'everybody is where they belong');


# -- an evicted flag ----------------------------------------------------------

# Of all keys only the flag may go.
$redis->cmd('CONFIG', 'SET', 'maxmemory-policy', 'volatile-ttl');
$redis->cmd('EXPIRE', 'agent-canary:flag:support', 10_000);
$redis->cmd('CONFIG', 'SET', 'maxmemory', 1);
eval { $redis->cmd('SET', 'another', 1) };
ok($nginx->wait_flag('support', state => 'deleted'),
   'a flag that Redis evicts looks like a deleted one');
$story->arms_are($story->expected(0), 'everybody is on the baseline');
like($nginx->get('/canary/metrics')->{body},
     qr/^agent_canary_flag_state\{flag="support",state="deleted"\} 1$/m,
     'which the metrics tell');
$redis->cmd('CONFIG', 'SET', 'maxmemory', 0);
$redis->flag(support => percent => 50, epoch => 3);
ok($nginx->wait_flag('support', state => 'ok'), 'written again');
$story->arms_are($story->expected(50), 'it is what it was');

$story->end;

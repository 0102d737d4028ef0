#!/usr/bin/env perl

# A candidate that fails while Redis hangs, or is dead: the sidecar takes it
# back at its own nginx, and Redis learns of it when it returns.

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP qw(decode_json);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Guard qw(audit guard_story heal lift rolled_back settled);
use Canary::Util qw(wait_until);

# what was written before it was killed has to be there afterwards
my $story = guard_story(redis_options => ['--appendonly', 'yes',
                                          '--appendfsync', 'always']);
my $redis = $story->redis;
$redis->flag(support => percent => 50, epoch => 1);
my $nginx = $story->start;
my $sidecar = $story->sidecar('guard-a');
my $traffic = $story->traffic(rate => 200);


sub away {
    my ($epoch, $what, $end, $return) = @_;

    settled($nginx, 60, "before $what");
    $redis->drop_client;
    $end->();
    ok($sidecar->wait_metric('agent_canaryd_up{party="redis"}', 0),
       "$what: the sidecar has noticed");
    ok($sidecar->healthy, "$what: and goes on")
        or diag($sidecar->get('/healthz')->{body});

    my $record = rolled_back($story, $what, sub {
        $story->agent('candidate')->set('error-rate=1');
    }, metric => 'error_rate');
    is($record->{epoch}, $epoch, "$what: of its epoch");

    ok($nginx->stop == 0 && $nginx->start, "$what: nginx starts anew");
    ok(wait_until(5, sub { $nginx->flag('support')->{tripped} }),
       "$what: and knows the trip");
    $story->arms_are($story->expected(0), "$what: which holds");

    $return->();
    my $trip;
    ok(wait_until(15, sub {
        $trip = eval { $redis->cmd('GET', 'agent-canary:trip:support') };
        $trip && decode_json($trip)->{epoch} == $epoch;
    }), "$what: Redis learns of it when it returns");
    is_deeply($trip && decode_json($trip), $record, "$what: word by word");
    ok(wait_until(5, sub { audit($redis) == $epoch }),
       "$what: one audit entry") or diag($sidecar->log_text);

    heal($story);
    ok($nginx->wait_redis('ready'), "$what: the link is back");
    lift($story, $sidecar, $epoch + 1);
    $story->arms_are($story->expected(50), "$what: as before");
}


away(1, 'Redis stopped', sub { $redis->freeze }, sub { $redis->thaw });
away(2, 'Redis killed', sub { $redis->kill_hard }, sub { $redis->start });

is(scalar audit($redis), 2, 'two trips, two entries');
$traffic->stop;
$story->end;

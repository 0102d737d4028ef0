#!/usr/bin/env perl

# Evidence is of one epoch, whatever became of the flag in between, and a trip
# is for an epoch, whichever one the trip before it named.

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Guard qw(audit guard_story heal rolled_back settled);
use Canary::Util qw(wait_until);

my $story = guard_story();
my $redis = $story->redis;
$redis->flag(support => percent => 50, epoch => 1);
my $nginx = $story->start;
my $sidecar = $story->sidecar('guard-a');
my $traffic = $story->traffic(rate => 200);


# Waits until every flag was judged again: once a second without traffic.
sub judged {
    my $from = $sidecar->metric('agent_canaryd_ticks_total');
    wait_until(10, sub {
        $sidecar->metric('agent_canaryd_ticks_total') >= $from + 10;
    });
}


settled($nginx, 60, 'first all is well');

rolled_back($story, 'a failure', sub {
    $story->agent('candidate')->set('error-rate=1');
}, metric => 'error_rate');
$traffic->stop;
heal($story);


# -- a flag that nginx does not have for a while ------------------------------

my $server = $story->server_conf;
my $other = $server =~ s/agent_canary support/agent_canary other/r;
ok($nginx->reload(server => $other), 'a configuration without the flag');
ok($sidecar->wait_log(qr/"support": nginx does not know it any more/, 20),
   'the sidecar misses it');

# and does not see it again before it is lifted
$sidecar->process->signal('STOP');
$redis->flag(support => epoch => 2);
ok($nginx->reload(server => $server), 'and with it, of another epoch');
ok($nginx->wait_flag('support', epoch => 2, tripped => 0), 'it is lifted');
$sidecar->process->signal('CONT');

ok($sidecar->wait_metric('agent_canaryd_flag_epoch{flag="support"}', 2),
   'for the sidecar, too');
judged();
ok(!$nginx->flag('support')->{tripped}, 'the evidence was of the other epoch');
is(scalar audit($redis), 1, 'no second trip');


# -- a trip by hand, of an epoch far ahead, that leaves some users ------------

$redis->trip(support => '{"epoch":10,"percent":20,"by":"ann"}');
ok($nginx->wait_flag('support', tripped => 1), 'tripped to 20 % by hand');
$traffic = $story->traffic(rate => 200);
settled($nginx, 100, 'these are well');

$story->agent('candidate')->set('error-rate=1');
ok(wait_until(10, sub { $nginx->flag('support')->{trip}{percent} == 0 }),
   'taken back to nothing when it fails')
    or diag($sidecar->log_text);
is($nginx->flag('support')->{trip}{record}{epoch}, 10, 'at that epoch');
$story->arms_are($story->expected(0), 'nobody gets the candidate');
ok(wait_until(5, sub { audit($redis) == 2 }), 'with an audit entry');

$traffic->stop;
$story->end;

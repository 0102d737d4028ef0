#!/usr/bin/env perl

# The guard through what happens in the life of its processes: nginx reloads
# and restarts, the sidecar is killed at bad moments, and a candidate that is
# no worse than the baseline lives on through all of it.

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP qw(decode_json);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Guard qw(audit guard_story heal lift rolled_back rules settled);
use Canary::Util qw(wait_until);

my $story = guard_story(workers => 2);
my $redis = $story->redis;
$redis->flag(support => percent => 50, epoch => 1, guardrails => rules(
    [metric => 'error_rate', max => 0.05],
    [metric => 'error_rate', max_increase => 0.02],
    [metric => 'cost_usd', max_ratio => 1.1],
    [metric => 'denied_rate', max => 0.02]));
my $nginx = $story->start;
my $sidecar = $story->sidecar('guard-a');
my $epoch = 1;

# both arms fail sometimes: that is what the limits are for
$story->agent($_)->set('error-rate=0.02&latency=5') for qw(baseline candidate);
my $traffic = $story->traffic(rate => 300);

settled($nginx, 1000, 'a candidate like the baseline');
ok(!$nginx->flag('support')->{tripped}, 'is left alone');


sub restart {
    $sidecar->kill_hard;
    $sidecar->start;
}

my $boot = $nginx->status->{boot_id};
ok($nginx->reload, 'a reload of nginx');
restart();
settled($nginx, 300, 'and a sidecar that was killed');
is($nginx->status->{boot_id}, $boot, 'the counters are the same ones');
ok(!$nginx->flag('support')->{tripped}, 'nothing is tripped by it');

$nginx->stop;
$nginx->start;
ok($sidecar->wait_log(qr/nginx started anew/), 'nginx started anew');
isnt($nginx->status->{boot_id}, $boot, 'with other counters');
settled($nginx, 300, 'the candidate goes on');
ok(!$nginx->flag('support')->{tripped}, 'nothing is tripped by that either');
is(scalar audit($redis), 0, 'and nothing is in the audit');


# -- a bad candidate, and a reload in the middle ------------------------------

heal($story, 'baseline');

rolled_back($story, 'a reload in the middle', sub {
    $story->agent('candidate')->set('error-rate=0.5');
    my $n = $nginx->flag('support')->{arms}{candidate}{errors_status};
    wait_until(5, sub {
        $nginx->flag('support')->{arms}{candidate}{errors_status} > $n + 5;
    });
    $nginx->reload;
}, metric => 'error_rate');


# -- killed at bad moments ----------------------------------------------------

my %moment = (
    'as soon as nginx is told' => sub { $nginx->flag('support')->{tripped} },
    'as soon as Redis is told' => sub {
        my $trip = $redis->cmd('GET', 'agent-canary:trip:support');
        $trip && decode_json($trip)->{epoch} == $epoch;
    },
    'as soon as the audit is written' => sub { audit($redis) == $epoch },
);

for my $when (sort keys %moment) {
    wait_until(5, sub { audit($redis) == $epoch });
    heal($story);
    $epoch++;
    lift($story, $sidecar, $epoch);
    settled($nginx, 100, "$when: before");

    $story->agent('candidate')->set('error-rate=1');
    ok(wait_until(15, $moment{$when}), "killed $when");
    $sidecar->kill_hard;
    my $logged = length $sidecar->log_text;

    $story->arms_are($story->expected(0), "$when: it is rolled back");
    $sidecar->start;
    ok(wait_until(8, sub { audit($redis) == $epoch }),
       "$when: an audit entry") or diag($sidecar->log_text);
    ok($sidecar->wait_metric('agent_canaryd_flag_trip_pending{flag="support"}',
                             0), "$when: both show the trip");
    my ($trip) = $redis->cmd('GET', 'agent-canary:trip:support');
    is(decode_json($trip)->{epoch}, $epoch, "$when: Redis, too");

    like(substr($sidecar->log_text, $logged),
         qr/learned from \w+\n.* to lift it: .* epoch @{[$epoch + 1]}\n/,
         "$when: the one that takes over tells how to lift it");
}

is(scalar audit($redis), $epoch, 'no entry twice');
$traffic->stop;
$story->end;

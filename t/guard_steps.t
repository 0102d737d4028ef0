#!/usr/bin/env perl

# "action": "step_back" takes a candidate back one stage at a time for as long
# as it goes on failing; "notify" only says so, once for each rule.

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP qw(decode_json encode_json);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Guard qw(audit guard_story heal lift settled);
use Canary::Util qw(wait_until);

sub guardrails { return encode_json({ action => @_ }) }

my $story = guard_story(workers => 2);
my $redis = $story->redis;
$redis->flag(support => percent => 25, epoch => 1,
             guardrails => guardrails('step_back'));
my $nginx = $story->start;
my $sidecar = $story->sidecar('guard-a');
my $traffic = $story->traffic(rate => 400, users => 1000);

settled($nginx, 60, 'well at first');
$story->agent('candidate')->set('error-rate=1');

ok(wait_until(15, sub { $nginx->flag('support')->{tripped} }), 'a step back');
is($nginx->flag('support')->{trip}{percent}, 5, 'to the stage before');
ok(wait_until(30, sub { $nginx->flag('support')->{trip}{percent} == 0 }),
   'and down to nothing, as it goes on')
    or diag(explain($nginx->flag('support')->{trip}));
$story->arms_are($story->expected(0), 'nobody gets the candidate any more');
ok(wait_until(5, sub { audit($redis) == 3 }), 'an entry for each step');
is(join(' ', map { $_->{id} } audit($redis)),
   'support:1:5 support:1:1 support:1:0', 'in their order');
is(decode_json($redis->cmd('GET', 'agent-canary:trip:support'))->{percent}, 0,
   'Redis has the last one');

heal($story);
lift($story, $sidecar, 2, guardrails => guardrails('notify', rules => [
    { metric => 'error_rate', max_increase => 0.02 },
    { metric => 'error_rate', max => 0.05, min_events => 300 },
]));
settled($nginx, 60, 'well again');
$story->agent('candidate')->set('error-rate=1');
ok(wait_until(15, sub { audit($redis) == 5 }), 'two notices');

my %notice = map { $_->{id} => $_ } grep { $_->{type} eq 'notify' }
    audit($redis);
is(join(' ', sort keys %notice), 'support:2:notify:1 support:2:notify:2',
   'one of each rule');

for my $rule (1, 2) {
    my $record = decode_json($notice{"support:2:notify:$rule"}{record});
    is($record->{rule}, $rule, "that of rule $rule is its own");
    like($record->{reason}, qr/^error_rate: /, 'with a reason');
}

settled($nginx, 200, 'it goes on failing');
ok(!$nginx->flag('support')->{tripped}, 'and is not taken back');
is(scalar audit($redis), 5, 'and they are told once');

$traffic->stop;
$story->end;

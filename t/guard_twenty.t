#!/usr/bin/env perl

# Twenty nginx, one real and nineteen made up, with a real sidecar each, and the
# real one with two: what they count is judged together and once, whoever comes
# first, and nobody works himself to death over it.  A node whose own candidate
# is broken is judged with the rest, as docs/guard.md says; one that is cut off
# from Redis learns of trips by its sidecar.  (Rows S2 and S7.)

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP qw(decode_json);
use List::Util qw(max sum uniq);
use Test::More;
use Time::HiRes qw(time);

use lib dirname(__FILE__) . '/lib';
use Canary::Guard qw(audit guard_story rules);
use Canary::Statuses;
use Canary::Util qw(slow slurp wait_until);

use constant NODES => 20;

# The budget is never spent: its rule tells how many priced requests were
# counted in all, where others tell what their bets rest on.
my $guardrails = rules([metric => 'error_rate', max => 0.05],
                       [metric => 'spend_usd', max => 100, per => '1h']);
my $counted = 'agent_canaryd_rule_requests'
    . '{flag="support",rule="2",metric="spend_usd"}';

my $story = guard_story(workers => 1);
my $redis = $story->redis;
$redis->flag(support => percent => 50, epoch => 1, guardrails => $guardrails);
my $nginx = $story->start;
my $others = Canary::Statuses->start(dir => $story->dir, n => NODES - 1,
    flag => 'support', epoch => 1, percent => 50, guardrails => $guardrails);
$story->agent('candidate')->set('cost=0.001');

my %arm = %{ $story->expected(50) };
my @unlucky = grep { $arm{$_} eq 'candidate' } sort keys %arm;

my @sidecar = map {
    $story->sidecar("guard-$_", nginx => $_ ? $others->nginx($_ - 1) : $nginx)
} 0 .. NODES - 1;

# two of them are beside the real one
push @sidecar, $story->sidecar('guard-twin', nginx => $nginx);


# Of all sidecars, how many show this.
sub show {
    my ($series, $value) = @_;
    return scalar grep { ($_->metric($series) // 'none') eq $value } @sidecar;
}


sub all_show {
    my ($what, $series, $value) = @_;
    ok(wait_until(30, sub { show($series, $value) == @sidecar }), $what)
        or diag("$series: ", join ' ', map { $_->metric($series) // 'none' }
                                       @sidecar);
}


my $priced = 0;


# What a candidate of the others has answered, so many of it by errors.
sub serve {
    my ($n, $answers, $errors) = @_;
    my $known = $answers - $errors;
    $others->add($n, candidate => requests => $answers,
                 errors_status => $errors, cost_known => $known,
                 cost_usd => 0.001 * $known);
    $priced += $known;
}


# A question to the candidate of the real one.
sub ask {
    my $status = $nginx->get('/', 'X-User-Id' => $unlucky[ rand @unlucky ])
        ->{status};
    $priced++ if $status == 200;
}


sub candidate {
    return $nginx->flag('support')->{arms}{candidate};
}


# Seconds of a processor that they have used since they began.
sub cpu {
    return map {
        my @stat = split ' ', slurp('/proc/' . $_->process->pid . '/stat')
            =~ s/^.*\) //sr;
        ($stat[11] + $stat[12]) / 100;
    } @sidecar;
}


all_show('each knows the others', 'agent_canaryd_peers', NODES - 1);
all_show('and reads all windows',
         'agent_canaryd_flag_windows{flag="support"}', NODES);


# -- two of a hundred fail, everywhere ----------------------------------------

my ($began, @before) = (time, cpu());

for my $round (1 .. 3) {
    for my $n (0 .. NODES - 2) {
        $others->add($n, baseline => requests => 100, errors_status => 1);
        serve($n, 10, $round == 2 ? 1 : 0);
    }

    ask();
    all_show("round $round: all have counted all of it",
             $counted, $priced);
}

my $seconds = time - $began;
my @after = cpu();
my @used = map { $after[$_] - $before[$_] } 0 .. $#after;
note(sprintf '%.1f s, in which a sidecar used %.2f s of a processor, the '
     . 'busiest %.2f s', $seconds, sum(@used) / @used, max(@used));
cmp_ok(max(@used), '<', 0.1 * slow() * $seconds, 'nobody is busy with it');

is(show('agent_canaryd_flag_tripped{flag="support"}', 0), scalar @sidecar,
   'two failures of a hundred are none too many');
is(scalar audit($redis), 0, 'and nothing is in the audit');


# -- one of them serves nothing but errors ------------------------------------

$story->agent('candidate')->set('error-rate=1');
my $healthy = candidate()->{requests};

for my $round (1 .. 4) {
    serve($_, 5, 0) for 0 .. NODES - 2;
    ask();
    all_show("broken here, round $round: counted",
             $counted, $priced);
}

my $broken = candidate();
is($broken->{errors_status}, $broken->{requests} - $healthy,
   'the candidate of one node has answered nothing but errors');
ok(!$nginx->flag('support')->{tripped},
   'the fleet has one failure in a hundred of it, and nothing is tripped');
like($nginx->get('/canary/metrics')->{body},
     qr/^agent_canary_errors_total\{flag="support",arm="candidate",cause="status"\} 4$/m,
     'its own metrics tell it');


# -- each of them fails some times -------------------------------------------

my $failed = 0;

for my $round (1 .. 5) {
    last if $nginx->flag('support')->{tripped};

    serve($_, 2, 2) for 0 .. NODES - 2;
    ask();
    $failed = $round;
    wait_until(1, sub { $nginx->flag('support')->{tripped} });
}

ok($nginx->flag('support')->{tripped}, 'failures everywhere: tripped')
    or diag($sidecar[0]->log_text);
note(2 * $failed, ' at each of them');
all_show('everywhere', 'agent_canaryd_flag_tripped{flag="support"}', 1);
all_show('and told everywhere',
         'agent_canaryd_flag_trip_pending{flag="support"}', 0);
all_show('nothing is left to write', 'agent_canaryd_events_pending', 0);
ok(wait_until(10, sub { audit($redis) == 1 }), 'an audit entry');

my $text = $redis->cmd('GET', 'agent-canary:trip:support');
my $trip = decode_json($text);
is($trip->{evidence}{instances}, NODES, 'on the evidence of all');
cmp_ok($trip->{evidence}{events}, '>', 2 * $failed,
       'of more than one has seen');
# by another of those that came to it at the same time, perhaps
my $record = decode_json((audit($redis))[0]{record});
is("@{$record}{qw(flag epoch percent metric)}",
   "@{$trip}{qw(flag epoch percent metric)}", 'the entry tells of this trip');
is($nginx->flag('support')->{trip}{epoch}, 1, 'the real one has it');
is(scalar(grep { $_->{trip} =~ /"epoch":1,/ } $others->nodes), NODES - 1,
   'and each of the others');

# what is settled stays
my @scrapes = map { $_->{scrapes} } $others->nodes;
ok(wait_until(10, sub {
    my @now = map { $_->{scrapes} } $others->nodes;
    !grep { $now[$_] < $scrapes[$_] + 8 } 0 .. $#now;
}), 'eight readings later');
is(scalar audit($redis), 1, 'there is one entry');
is($redis->cmd('GET', 'agent-canary:trip:support'), $text, 'and one trip');
is(sum(map { $_->metric('agent_canaryd_audit_entries_total') } @sidecar), 1,
   'with one writer');
is(scalar(uniq map { $_->log_text =~ /(to lift it: .*)/ } @sidecar), 1,
   'all tell the same line to lift it');


# -- what a person trips ------------------------------------------------------

$redis->flag(support => epoch => 2);
$others->set(epoch => 2);
all_show('another epoch', 'agent_canaryd_flag_epoch{flag="support"}', 2);
$redis->trip(support => '{"flag":"support","epoch":2,"by":"ann"}');
ok(wait_until(10, sub {
    !grep { $_->{trip} !~ /"epoch":2,/ } $others->nodes;
}), 'reaches those that are cut off from Redis, by their sidecars')
    or diag(join "\n", map { $_->{trip} } $others->nodes);
ok($nginx->wait_flag('support', tripped => 1), 'and the others');
is(scalar audit($redis), 1, 'a person has an audit of his own');


# -- the end of all of them at once -------------------------------------------

$_->process->signal('TERM') for @sidecar;
$_->process->wait_end(10) for @sidecar;
$others->stop;
$story->end;

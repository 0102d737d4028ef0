#!/usr/bin/env perl

# A sidecar that is killed anywhere between the reading that breaks a budget
# and the end of what is told: at each send and receive of each thread, and at
# each step of a save.  The one that starts after it finishes: nginx and Redis
# have the trip, the audit has one entry, somebody was called, and no evidence
# is lost.  (Rows S1 and N11 of the fault matrix.)

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Copy qw(copy);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Guard qw(audit);
use Canary::Process qw(descendants);
use Canary::Util qw(slurp spew wait_until);
use Canary::Watch;

my $watch = Canary::Watch->new;
my $webhook = $watch->webhook;
my $nginx = $watch->nginx(guardrails =>
    '{"rules":[{"metric":"spend_usd","max":50,"per":"1h"}]}');
my $sidecar = $watch->new_sidecar('one', nginx => $nginx, options => [
    '--webhook', $webhook->url, '--interval', '50ms']);
my $state = $sidecar->state_path;

$nginx->add(b => 100, c => 100);
$sidecar->start;
ok($sidecar->turns(2), 'a budget that is kept');
is($sidecar->stop, 0, 'its state is saved');
copy($state, "$state.kept") or die "copy: $!";

# more than the budget, in one request that no sidecar has seen yet
$nginx->add(cost => 100);


# Kills it when one of its threads comes to its n-th of these system calls.
# Returns whether it came so far.
sub killed_at {
    my ($calls, $n) = @_;

    $watch->redis->cmd('FLUSHALL');
    $nginx->forget;
    unlink glob "$state*.tmp";
    copy("$state.kept", $state) or die "copy: $!";
    spew($watch->dir . '/webhook.calls', '');

    $sidecar->launch('strace', '-f', '-q', '-o', '/dev/null', '-e',
                     "trace=$calls", '-e',
                     "inject=$calls:signal=KILL:when=$n");
    wait_until(30, sub { !$sidecar->running || all_told() });

    my @alive = map { $_->[0] } descendants($sidecar->process->pid);
    kill 'KILL', @alive;
    $sidecar->process->wait_end(10) // die "strace does not end\n";
    return !@alive;
}


sub all_told {
    return $nginx->trips && audit($watch->redis) && $webhook->calls;
}


my %seen;

# What the one that was killed has left, and what the next makes of it: a test
sub finishes {
    my ($what) = @_;
    my $logged = length $sidecar->log_text;
    my $left = join ' ', grep { $_ } ($nginx->trips ? 'nginx' : ''),
        ($watch->trip ? 'Redis' : ''), (audit($watch->redis) ? 'audit' : ''),
        ($webhook->calls ? 'webhook' : '');
    $seen{ $left || 'nobody' }++;

    $sidecar->start;
    my $told = wait_until(15, sub {
        all_told() && $watch->trip
            && $sidecar->metric('agent_canaryd_events_pending') == 0;
    });
    my $stopped = $sidecar->stop;
    my @entries = audit($watch->redis);
    my %called = map { $_->{id} => 1 } $webhook->calls;
    my $text = substr $sidecar->log_text, $logged;

    ok($told && $stopped == 0 && @entries == 1 && $nginx->trips
       && join(' ', keys %called) eq 'support:1:0'
       && $text !~ /damaged|without evidence|starting anew/,
       "$what, told: " . ($left || 'nobody'))
        or diag("told $told, stopped $stopped, entries ", scalar @entries,
                ", called @{[keys %called]}\n$text");
}


for my $calls ('sendto,recvfrom', 'fsync,rename') {
    my $n = 1;

    while (killed_at($calls, $n)) {
        finishes("$calls, number $n");
        last if $n++ == 60;
    }

    finishes("$calls, not one of $n");
}

note(join "\n", map { "$_: $seen{$_}" } sort keys %seen);

ok($seen{nobody}, 'killed when nobody was told');
ok((grep { /Redis/ && !/audit/ } keys %seen), 'between Redis and the audit');
ok((grep { /audit/ && !/webhook/ } keys %seen),
   'between the audit and the webhook');


# -- evidence that is not enough yet ------------------------------------------

my $other = $watch->nginx(name => 'other');
my $two = $watch->sidecar('two', nginx => $other,
                          options => ['--interval', '50ms']);
my ($e, $n) = map { "agent_canaryd_rule_$_\{flag=\"support\",rule=\"1\","
                    . 'metric="error_rate"}' } 'e_value', 'requests';
$watch->wipe;

sub evidence { return map { $two->metric($_) } $e, $n }

for my $when ('saved', 'at once') {
    my ($goal) = evidence();

    ok(wait_until(20, sub {
        $other->add(b => 30, c => 5, fail => 3);
        $two->turns(2);
        (evidence())[0] > 2 * $goal + 2;
    }), "$when: some evidence");

    if ($when eq 'saved') {
        my $kept = slurp($two->state_path);
        ok(wait_until(15, sub { slurp($two->state_path) ne $kept }), 'saved')
    }

    my @before = evidence();
    $two->kill_hard;
    $two->start;
    $two->turns(2);
    my @after = evidence();

    cmp_ok(abs($after[1] - $before[1]), '<', 0.01 * $before[1],
           "$when: every request counts once");
    cmp_ok(abs($after[0] - $before[0]), '<', 0.2 * $before[0],
           "$when: and the capital is the same")
        if $when eq 'saved';
}

is(scalar $other->trips, 0, 'which was no reason to trip');

$watch->end;

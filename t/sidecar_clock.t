#!/usr/bin/env perl

# The wall clock of a sidecar, or of Redis, is stepped by an hour and by a year,
# both ways, in the middle of a judgement: nobody is tripped by that, no
# evidence is lost or expires, and what is written has the time of the clock.
# (Row N12 of the fault matrix.)

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;
use Time::Local qw(timegm);

use lib dirname(__FILE__) . '/lib';
use Canary::Guard qw(audit);
use Canary::Util qw(wait_until);
use Canary::WallClock;
use Canary::Watch;

use constant { HOUR => 3600, YEAR => 365 * 24 * 3600 };

my %steps = ('an hour ahead' => HOUR, 'an hour back' => -HOUR,
             'a year ahead' => YEAR, 'a year back' => -YEAR);

my $watch = Canary::Watch->new;
my ($clock, $redis_clock) = map {
    Canary::WallClock->new(dir => $watch->dir, name => $_)
} 'sidecar', 'redis';
$watch->{redis} = Canary::Redis->new(dir => $watch->dir,
    options => $watch->{redis_options}, env => $redis_clock->env)->start;

my ($e, $n) = map { "agent_canaryd_rule_$_\{flag=\"support\",rule=\"1\","
                    . 'metric="error_rate"}' } 'e_value', 'requests';


# "2026-11-20T09:16:15.123Z"
sub seconds {
    my ($year, $month, @rest) = $_[0] =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)/
        or return 0;
    return timegm(reverse(@rest), $month - 1, $year);
}


sub at_clock {
    my ($text, $what) = @_;
    cmp_ok(abs(seconds($text) - $clock->now), '<', 60, $what) or diag($text);
}


# -- evidence that grows ------------------------------------------------------

my $nginx = $watch->nginx;
my $sidecar = $watch->sidecar('one', nginx => $nginx, env => $clock->env,
                              options => ['--interval', '50ms']);

sub grow {
    my ($times) = @_;
    for (1 .. $times) {
        $nginx->add(b => 30, c => 8, fail => 1);
        $sidecar->turns(1);
    }
}

# one failure in nine is too many: some capital, and more with each step
for my $what (sort keys %steps) {
    grow(2);
    my @before = map { $sidecar->metric($_) } $e, $n;
    $clock->step($steps{$what});
    ok($sidecar->turns(4), "$what: the judge goes on");
    my @after = map { $sidecar->metric($_) } $e, $n;

    cmp_ok(abs($after[0] - $before[0]), '<', 0.01 * $before[0],
           "$what: the capital is the same");
    cmp_ok(abs($after[1] - $before[1]), '<', 0.01 * $before[1],
           "$what: so are the requests");
    is($sidecar->metric('agent_canaryd_blind'), 0, "$what: it sees nginx");
    cmp_ok($sidecar->metric('agent_canaryd_nginx_age_seconds'), '<', 10,
           "$what: just now");
    is($sidecar->metric('agent_canaryd_up{party="redis"}'), 1,
       "$what: it has Redis");
    is(scalar $nginx->trips, 0, "$what: nothing is tripped");

    $sidecar->process->signal('HUP');
    my $line;
    ok(wait_until(10, sub {
        ($line) = (split /\n/, $sidecar->log_text)[-1] =~ /(.*secrets.*)/;
        $line && abs(seconds($line) - $clock->now) < 60;
    }), "$what: the log has the time of the clock") or diag($line);
}

# it is a year back now; a restart changes nothing either
my ($before) = $sidecar->metric($n);
is($sidecar->stop, 0, 'it ends');
$clock->step(YEAR);
$sidecar->start;
$sidecar->turns(2);
cmp_ok(abs($sidecar->metric($n) - $before), '<', 0.01 * $before,
       'the state of two years ago is as good as new');

ok(wait_until(20, sub { grow(1); $nginx->trips }),
   'until the candidate has failed too often') or diag($sidecar->log_text);
my ($trip) = $nginx->trips;
at_clock($trip->{at}, 'the trip has the time of the clock');
$watch->tripped(1, 'Redis has it');
$watch->audited(1, 'one audit entry');
is($sidecar->stop, 0, 'it ends');


# -- a budget by the hour -----------------------------------------------------

my $shop = $watch->nginx(name => 'shop', guardrails =>
    '{"rules":[{"metric":"spend_usd","max":50,"per":"1h"}]}');
$watch->wipe;
$clock->step(0);
my $buyer = $watch->sidecar('buyer', nginx => $shop, env => $clock->env,
                            options => ['--interval', '50ms']);

for my $what (sort keys %steps) {
    $shop->add(cost => 12);
    $buyer->turns(2);
    $clock->step($steps{$what});
    $buyer->turns(2);
    is(scalar $shop->trips, 0, "$what: the budget is kept");
}

$shop->add(cost => 12);
ok(wait_until(10, sub { $shop->trips }), 'what was spent is not forgotten');
is(($shop->trips)[0]{value}, 60, 'not a cent of it');
is($buyer->stop, 0, 'it ends');


# -- Redis --------------------------------------------------------------------

my @fleet = map { $watch->nginx(name => "fleet-$_", b => 60, c => 20) } 1, 2;
$watch->wipe;
my @pair = map { $watch->sidecar("guard-$_", nginx => $fleet[$_]) } 0, 1;


sub pooled {
    my ($what) = @_;
    ok($_->wait_metric('agent_canaryd_peers', 1)
       && Canary::Sidecar::exchanged('redis', 2, @pair)
       && $_->metric('agent_canaryd_peers') == 1,
       "$what: $_->{name} knows the other") for @pair;
    is(scalar @{ $watch->redis->cmd('KEYS', 'agent-canary-fleet:window:*') },
       2, "$what: both windows are there");
}


pooled('before');
for my $what (sort keys %steps) {
    $redis_clock->step($steps{$what});
    # what expired is written again as a whole
    ok(wait_until(15, sub {
        my @keys = map { "agent-canary-fleet:window:support:guard-$_" } 0, 1;
        2 == grep { $watch->redis->cmd('TTL', $_) > 0
                    && $watch->redis->cmd('HLEN', $_) > 40 } @keys;
    }), "$what: the windows are whole");
    pooled($what);
    is(scalar(map { $_->trips } @fleet), 0, "$what: nothing is tripped");
}

$_->set(err => 1) for @fleet;
$watch->tripped(1, 'and a trip is a trip');
$watch->audited(1, 'with one entry');
is((audit($watch->redis))[0]{id}, 'support:1:0', 'of it');

$watch->end;

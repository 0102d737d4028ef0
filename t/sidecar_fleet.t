#!/usr/bin/env perl

# Twenty sidecars at ten nginx, two at each: what an nginx counted counts once,
# whoever tells of it, and all of them together write one audit entry and call
# one webhook, also when most of them are killed in between.  (Rows S2 and S7
# of the fault matrix.)

use strict;
use warnings;

use File::Basename qw(dirname);
use List::Util qw(sum0);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Guard qw(audit);
use Canary::Util qw(wait_until);
use Canary::Watch;

my $watch = Canary::Watch->new;
my $webhook = $watch->webhook;

# that are cut off from Redis: they learn of a trip from their sidecars alone
my @nginx = map { $watch->nginx(name => "nginx-$_", fresh => 0) } 0 .. 9;
my @sidecar = map {
    $watch->new_sidecar("guard-$_", nginx => $nginx[$_ % 10],
                        options => ['--webhook', $webhook->url])
} 0 .. 19;


sub all_have {
    my ($series, $value, $what) = @_;
    my @wrong = grep { !$_->wait_metric($series, $value, 20) } @sidecar;
    ok(!@wrong, $what)
        or diag(map { "$_->{name}: " . ($_->metric($series) // 'none') . "\n" }
                @wrong);
}


sub audits { return map { $_->metric('agent_canaryd_audit_entries_total') }
                 @sidecar }


# a little of everything is well everywhere
$_->add(b => 3, c => 1) for @nginx;
$_->launch for @sidecar;
all_have('agent_canaryd_peers', 9, 'each knows nine others, not nineteen');
all_have('agent_canaryd_flag_windows{flag="support"}', 10,
         'each reads ten windows');


# -- one node has all of the failures -----------------------------------------

my $failed = 0;
my $trip;

for my $round (1 .. 100) {
    $nginx[3]->add(b => 6, fail => 3);
    $failed += 3;
    $_->add(b => 6, c => 1) for @nginx;
    Canary::Sidecar::exchanged('nginx', 1, @sidecar[3, 13]);
    $trip = ($nginx[3]->trips)[0];
    last if $trip;
}

ok($trip, "tripped after $failed failures") or diag($sidecar[3]->log_text);
is($trip->{evidence}{instances}, 10, 'by the evidence of ten nginx');
cmp_ok($trip->{evidence}{requests}, '<=',
       sum0(map { $_->state->{n}{c} } @nginx), 'each request of which is one');
$watch->tripped(1, 'Redis has the trip');
ok(wait_until(15, sub { !grep { !$_->trips } @nginx }), 'so has every nginx')
    or diag(join ' ', map { scalar $_->trips } @nginx);

$watch->audited(1, 'twenty sidecars, one audit entry');
is(sum0(audits()), 1, 'written by one of them');
is(scalar($webhook->calls), 1, 'and one call');


# -- most of them are killed --------------------------------------------------

$_->set(epoch => 2) for @nginx;
all_have('agent_canaryd_flag_epoch{flag="support"}', 2, 'the next epoch');
$_->set(err => 1, b => 20, c => 20) for @nginx;
ok(wait_until(20, sub { grep { ($_->trips)[-1]{epoch} == 2 } @nginx }),
   'tripped again');
$_->process->signal('KILL') for @sidecar[1 .. 18];
is(scalar(grep { defined $_->process->wait_end(10) } @sidecar[1 .. 18]), 18,
   'eighteen are killed at that moment');
$_->launch for @sidecar[1 .. 18];
ok(wait_until(20, sub { !grep { ($_->trips)[-1]{epoch} != 2 } @nginx }),
   'all have the trip, when they are back')
    or diag(join ' ', map { ($_->trips)[-1]{epoch} } @nginx);
all_have('agent_canaryd_events_pending', 0, 'all is told');
$watch->audited(2, 'and there is one entry more');
is(join(' ', sort map { $_->{id} } audit($watch->redis)),
   'support:1:0 support:2:0', 'for each trip');

$watch->end;

#!/usr/bin/env perl

# Whoever hangs - Redis, nginx, the webhook, the disk, all of them - keeps
# nobody else waiting: what has to be told is told to all the others while it
# hangs, and to him when he is back.

use strict;
use warnings;

use File::Basename qw(dirname);
use POSIX qw(mkfifo);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Guard qw(audit);
use Canary::Util qw(slurp wait_until);
use Canary::Watch;

my $watch = Canary::Watch->new;
my $webhook = $watch->webhook;
my @hook = ('--webhook', $webhook->url);


sub called {
    my ($id, $what) = @_;
    ok(wait_until(15, sub { grep { $_->{id} eq $id } $webhook->calls }),
       $what) or diag(map { $_->log_text } @{ $watch->{sidecars} });
}


# -- nginx does not take the trip ---------------------------------------------

my $nginx = $watch->nginx(b => 60, c => 40, trip => 'hang');
my $sidecar = $watch->sidecar('one', nginx => $nginx, options => \@hook);

$nginx->set(err => 1);
ok(wait_until(15, sub { $nginx->state->{hanging} }), 'nginx holds the trip');
$watch->tripped(1, 'Redis has it');
ok(wait_until(10, sub { audit($watch->redis) == 1 }), 'so has the audit');
called('support:1:0', 'the webhook, too');
is(scalar $nginx->trips, 0, 'nginx has it not yet');
is($sidecar->get('/healthz')->{status}, 503, 'which is seen');
ok($sidecar->exchanges('nginx', 3), 'the scraper goes on');

$nginx->set(trip => 'ok');
ok(wait_until(10, sub { $nginx->trips }), 'nginx is told again');
ok($sidecar->wait_metric('agent_canaryd_flag_trip_pending{flag="support"}', 0),
   'and all is well');


# -- the webhook hangs --------------------------------------------------------

$webhook->answer('hang');
$nginx->set(epoch => 2);
called('support:2:0', 'a webhook that hangs');
$nginx->set(epoch => 3);
ok(wait_until(15, sub { ($nginx->trips)[-1]{epoch} == 3 }),
   'nginx has the next trip');
$watch->tripped(3, 'Redis, too');
ok(wait_until(10, sub { audit($watch->redis) == 3 }), 'and the audit');
ok(!(grep { $_->{id} eq 'support:3:0' } $webhook->calls),
   'while the webhook still hangs');
$webhook->answer(204);
called('support:3:0', 'until it does not');


# -- Redis hangs --------------------------------------------------------------

$watch->audited(3, 'all is told');
$watch->redis->freeze;
$watch->redis->drop_client;
$nginx->set(epoch => 4);
ok(wait_until(15, sub { ($nginx->trips)[-1]{epoch} == 4 }),
   'without Redis nginx has the trip');
called('support:4:0', 'the webhook, too');
ok($sidecar->exchanges('nginx', 3), 'the scraper goes on');
ok($sidecar->wait_metric('agent_canaryd_up{party="redis"}', 0),
   'that Redis hangs is seen');
$watch->redis->thaw;
$watch->tripped(4, 'Redis is told when it is back');
$watch->audited(4, 'with one audit entry');


# -- the status hangs, and so does all the rest -------------------------------

$nginx->set(status => 'hang');
ok($sidecar->wait_metric('agent_canaryd_blind', 1), 'nginx hangs');
ok($sidecar->exchanges('redis', 2), 'the fleet goes on');
$webhook->answer('hang');
$watch->redis->freeze;
ok($sidecar->wait_metric('agent_canaryd_up{party="redis"}', 0), 'and Redis');
ok($sidecar->turns(5), 'the judge goes on');
is($sidecar->get('/healthz')->{status}, 503, 'and answers');
is($sidecar->stop, 0, 'it ends when told');
$watch->redis->thaw;
$webhook->answer(204);


# -- the disk hangs -----------------------------------------------------------

# who opens this waits for somebody who reads it
my $disk = $watch->new_sidecar('disk', nginx => $watch->nginx(
    name => 'third', b => 60, c => 40, err => 1), options => \@hook);
mkfifo($disk->state_path . '.tmp', 0600) or die "mkfifo: $!";
$watch->wipe;
$disk->start;
ok(wait_until(15, sub { $disk->{nginx}->trips }),
   'with a disk that hangs nginx has the trip');
$watch->tripped(1, 'so has Redis');
$disk->process->signal('TERM');
is($disk->process->wait_end(15), 0, 'it ends when told');
like($disk->log_text, qr/stopped, but 1 threads hang/, 'and says what hangs');

$watch->end;

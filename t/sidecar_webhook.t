#!/usr/bin/env perl

# A webhook that fails, is gone, and hangs: it is called again, later each
# time, with a signature and the same id, until it answers; and not again
# after that, also when the sidecar is killed and starts anew.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256_hex);
use File::Basename qw(dirname);
use JSON::PP qw(decode_json);
use List::Util qw(uniq);
use Test::More;
use Time::HiRes qw(time);

use lib dirname(__FILE__) . '/lib';
use Canary::Util qw(slurp spew wait_until);
use Canary::Watch;

my $watch = Canary::Watch->new;
my $webhook = $watch->webhook(answer => 500);
my $key = $watch->dir . '/key';
spew($key, "hook key\n");
chmod 0600, $key;

my $nginx = $watch->nginx(b => 60, c => 40, err => 1);
my $sidecar = $watch->sidecar('one', nginx => $nginx, options => [
    '--webhook', $webhook->url, '--webhook-secret-file', $key]);


sub failed {
    return $sidecar->metric(
        'agent_canaryd_exchanges_total{party="webhook",outcome="failed"}');
}


# -- it fails -----------------------------------------------------------------

$watch->tripped(1, 'a trip');
ok(wait_until(10, sub { $webhook->calls }), 'the webhook is called')
    or diag($sidecar->log_text);
ok($sidecar->wait_log(qr/the webhook takes no calls: it answered with status 500/),
   'a status of 500 is told');
is($sidecar->metric('agent_canaryd_events_pending'), 1, 'it waits');
$webhook->close;
my $before = failed();
ok(wait_until(15, sub { failed() > $before }), 'it is gone: tried again');


# -- it hangs, and nothing else waits for it ----------------------------------

my $calls = () = $webhook->calls;
$webhook->answer('hang');
$webhook->open;
ok(wait_until(20, sub { $webhook->calls > $calls }), 'it is back, and hangs');
$nginx->set(epoch => 2);
$watch->tripped(2, 'meanwhile another trip');
ok(wait_until(10, sub { Canary::Guard::audit($watch->redis) == 2 }),
   'is in the audit');
ok($sidecar->turns(4), 'and the judge goes on');


# -- it answers ---------------------------------------------------------------

$webhook->answer(204);
ok($sidecar->wait_metric('agent_canaryd_events_pending', 0, 40),
   'it answers, and both are delivered') or diag($sidecar->log_text);
is($sidecar->metric('agent_canaryd_up{party="webhook"}'), 1, 'it is up');

my @calls = $webhook->calls;
is(join(' ', sort(uniq(map { $_->{id} } @calls))), 'support:1:0 support:2:0',
   'each with its own id');
is(join(' ', sort map { $_->{id} } grep { $_->{answer} eq '204' } @calls),
   'support:1:0 support:2:0', 'each was taken once');

for my $call (@calls) {
    my ($t, $v1) = $call->{signature} =~ /^t=(\d+),v1=(\w+)$/;
    my $body = decode_json($call->{body});
    my $what = "$call->{id}, answered with $call->{answer}";

    is($v1, hmac_sha256_hex("$t.$call->{body}", 'hook key'),
       "$what: signed");
    cmp_ok(abs(time - $t), '<', 120, "$what: just now");
    is($body->{id}, $call->{id}, "$what: the same id inside");
    is($body->{lift}, 'redis-cli HSET agent-canary:flag:support epoch '
       . ($body->{epoch} + 1), "$what: how to lift it");
    is($body->{record}{percent}, 0, "$what: the record");
}


# -- delivered is delivered ---------------------------------------------------

ok(wait_until(10, sub {
    slurp($sidecar->state_path) =~ /^told support:2:0$/m;
}), 'saved') or diag(slurp($sidecar->state_path));

for my $how (qw(stop kill_hard)) {
    $sidecar->$how;
    $sidecar->start;
    ok($sidecar->wait_metric('agent_canaryd_flag_tripped{flag="support"}', 1),
       "$how: it knows the trip");
    $watch->audited(2, "$how: no entry is written again");
    is(scalar($webhook->calls), scalar @calls, "$how: nobody is told again");
}

$watch->wipe;
$watch->tripped(2, 'Redis has forgotten all');
$watch->audited(1, 'and has the entry again');
is(scalar($webhook->calls), scalar @calls, 'but nobody is told again');


# -- a secret that changes ----------------------------------------------------

spew($key, "another key\n");
$sidecar->process->signal('HUP');
ok($sidecar->wait_log(qr/the secrets were read again/), 'another secret');
$nginx->set(epoch => 3);
$watch->tripped(3, 'a third trip');
ok(wait_until(10, sub { $webhook->calls > @calls }), 'is told');
my $last = ($webhook->calls)[-1];
my ($t, $v1) = $last->{signature} =~ /^t=(\d+),v1=(\w+)$/;
is($v1, hmac_sha256_hex("$t.$last->{body}", 'another key'),
   'signed by the new one');

$watch->end;

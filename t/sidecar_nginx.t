#!/usr/bin/env perl

# A status that is slow, cut, huge or of something else, and an nginx that is
# gone or starts anew: that is no data, which is neither good nor bad, and is
# seen.  (Rows S3, S5 and S6 of the fault matrix.)

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP qw(decode_json);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Util qw(slurp wait_until);
use Canary::Watch;

# two Redis, so that the last nginx has a fleet of its own
my ($watch, $alone) = map { Canary::Watch->new } 1 .. 2;


# -- answers that are none, each to a sidecar of its own ----------------------

my %reason = (
    hang    => qr/timed out/i,
    trickle => qr/timed out/i,
    cut     => qr/closed|outstanding|end of response/i,
    junk    => qr/expected the JSON of the module/,
    html    => qr/"<html>welcome<.html>": expected the JSON/,
    wrong   => qr/expected the JSON of the module/,
    500     => qr/status 500/,
    big     => qr/expected the JSON of the module/,
    huge    => qr/longer than 67108864|timed out/,
);
my (%nginx, %sidecar);

for my $how (sort keys %reason) {
    $nginx{$how} = $watch->nginx(name => "nginx-$how", b => 60, c => 20);
    $sidecar{$how} = $watch->sidecar("by-$how", nginx => $nginx{$how});
}

ok($sidecar{$_}->exchanges('nginx', 2), "$_: before, all is well")
    for sort keys %reason;
$nginx{$_}->set(status => $_) for keys %reason;

for my $how (sort keys %reason) {
    my $sidecar = $sidecar{$how};

    ok($sidecar->wait_metric('agent_canaryd_blind', 1, 20), "$how: no data")
        or diag($sidecar->log_text);
    my $health = $sidecar->get('/healthz');
    is($health->{status}, 503, "$how: not healthy");
    like(decode_json($health->{body})->{reasons}[0]{reason}, $reason{$how},
         "$how: and why");
    like($sidecar->log_text, qr/\[alert\] no data: there is no sight of nginx/,
         "$how: the log is loud");
    ok($sidecar->turns(2), "$how: the judge goes on");
    ok($sidecar->exchanges('redis', 2), "$how: so does the fleet");
    is(scalar $nginx{$how}->trips, 0, "$how: and nothing is tripped");
}

my ($resident) = slurp('/proc/' . $sidecar{huge}->process->pid . '/status')
    =~ /^VmHWM:\s+(\d+) kB/m;
cmp_ok($resident, '<', 160 * 1024, 'what is huge is not taken in')
    if !$ENV{ASAN_OPTIONS};

$nginx{$_}->set(status => 'ok') for keys %reason;

for my $how (sort keys %reason) {
    ok($sidecar{$how}->wait_metric('agent_canaryd_blind', 0), "$how: back");
    ok($sidecar{$how}->wait_log(qr/nginx is in sight again/),
       "$how: and says so");
    is($sidecar{$how}->stop, 0, "$how: ends");
}


# -- an nginx that is gone ----------------------------------------------------

my $nginx = $alone->nginx(b => 60, c => 20);
my $sidecar = $alone->sidecar('one', nginx => $nginx);
ok($sidecar->exchanges('nginx', 2), 'an nginx');
$nginx->stop;
ok($sidecar->wait_metric('agent_canaryd_up{party="nginx"}', 0), 'is gone');

# the next one has counted less: that is no negative number of requests
my $next = $alone->nginx(port => $nginx->{port}, b => 60, c => 20);
ok($sidecar->wait_log(qr/nginx started anew/), 'another nginx');
ok($sidecar->wait_metric('agent_canaryd_flag_windows{flag="support"}', 2),
   'is another source');
ok($sidecar->exchanges('nginx', 4), 'it is read');
is(scalar $next->trips, 0, 'and nothing is tripped by it');
is($sidecar->metric('agent_canaryd_bad_flags_total'), 0,
   'nothing of it was odd');


# -- it starts anew while the candidate fails ---------------------------------

$next->set(err => 1);
ok($sidecar->exchanges('nginx', 1), 'it fails');
$next->set(err => 0, boot => 'b' x 16);
ok($sidecar->exchanges('nginx', 4), 'and starts anew');
is(scalar $next->trips, 0, 'what was counted before is not counted again');
$next->set(err => 1, trip => 405);
ok($sidecar->wait_log(qr/nginx\ takes\ no\ trips:\ it\ answered\ with\ status\ 405:
                         \ its\ location\ needs\ "agent_canary_api\ trip"/x),
   'a location without "trip": the log says what it needs')
    or diag($sidecar->log_text);
$next->set(trip => 'ok');
ok(wait_until(15, sub { ($next->trips)[0] }), 'until it goes on failing')
    or diag($sidecar->log_text);
cmp_ok((($next->trips)[0] // {})->{evidence}{requests} // 'none', '<=',
       $next->state->{n}{c}, 'and no request counts twice');
$alone->audited(1, 'one audit entry');

$alone->stop;
$watch->end;

#!/usr/bin/env perl

# One agent-canaryd, from a candidate that is well to one that is taken back:
# what it tells whom, what it says of itself, and that it says it once.

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP qw(decode_json);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Guard qw(audit);
use Canary::Util qw(command_output spew wait_until);
use Canary::Watch;

my $watch = Canary::Watch->new;
my $nginx = $watch->nginx(b => 60, c => 20);
my $sidecar = $watch->sidecar('one', nginx => $nginx);


# -- a candidate that is well -------------------------------------------------

ok($sidecar->turns(8), 'it judges');
is(scalar $nginx->trips, 0, 'a healthy candidate is left alone');
is_deeply(decode_json($sidecar->get('/healthz')->{body}),
    { reasons => [], healthy => JSON::PP::true, redis => 'up', peers => 0,
      flags => 1 }, 'healthz');


# -- one that fails -----------------------------------------------------------

$nginx->set(err => 1);
my ($trip) = wait_until(15, sub { ($nginx->trips)[0] });
ok($trip, 'tripped at nginx') or diag($sidecar->log_text);
is($trip->{percent}, 0, 'to nothing');
like($trip->{reason}, qr/requests to the candidate failed/,
     'told in a sentence');
cmp_ok($trip->{evidence}{e_value}, '>=', $trip->{evidence}{e_limit},
       'with evidence');
like($trip->{at}, qr/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'and a time');

is($watch->tripped(1, 'tripped in Redis')->{reason}, $trip->{reason},
   'for the same reason');
$watch->audited(1, 'one audit entry');
like($sidecar->log_text, qr/redis-cli HSET agent-canary:flag:support epoch 2/,
     'the line that lifts it');
ok($sidecar->wait_metric('agent_canaryd_flag_trip_pending{flag="support"}', 0),
   'read back at both');
is($sidecar->metric('agent_canaryd_trips_total{flag="support"}'), 1,
   'a trip is counted');
is($sidecar->metric('agent_canaryd_audit_entries_total'), 1, 'and its entry');
is($sidecar->metric('agent_canaryd_redis_refusing'), 0, 'nothing was refused');

spew($watch->dir . '/metrics', $sidecar->get('/metrics')->{body});
is((command_output('sh', '-c', 'promtool check metrics < "$0"',
                   $watch->dir . '/metrics'))[0], '', 'promtool');


# -- Redis forgets the trip, and only that ------------------------------------

$watch->redis->cmd('DEL', Canary::Watch::TRIP);
$watch->tripped(1, 'Redis is told again');
$watch->audited(1, 'of the same trip');
is($sidecar->metric('agent_canaryd_audit_entries_total'), 1,
   'no entry is counted twice');


# -- it ends, and begins ------------------------------------------------------

is($sidecar->stop, 0, 'it stops when told');
$sidecar->start;
ok($sidecar->wait_metric('agent_canaryd_flag_tripped{flag="support"}', 1),
   'it knows the trip when it is back');
$watch->audited(1, 'which has its entry');
is(scalar $nginx->trips, 1, 'nginx is not told what it shows');


# -- another epoch, and nothing is better -------------------------------------

$nginx->set(epoch => 2);
$watch->tripped(2, 'another epoch, another trip');
$watch->audited(2, 'with its own audit entry');
is(join(' ', map { $_->{id} } audit($watch->redis)),
   'support:1:0 support:2:0', 'each is its own');


# -- Redis is emptied ---------------------------------------------------------

$watch->wipe;
$watch->tripped(2, 'an emptied Redis is told again');
$watch->audited(1, 'and the entry is written where there is none');
is((audit($watch->redis))[0]{id}, 'support:2:0', 'of the trip in force');

$watch->end;

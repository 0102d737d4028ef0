#!/usr/bin/env perl

# A Redis that is slow, talks nonsense, or has its words mangled on the way:
# it is told as lost, with a reason, costs next to nothing, and the candidate
# is rolled back all the same.  (Rows R3, R6 and R7 of the fault matrix, for
# the sidecar.)

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP qw(decode_json);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Chaos;
use Canary::Util qw(slow slurp wait_until);
use Canary::Watch;

my $watch = Canary::Watch->new;
my $chaos = Canary::Chaos->start(to => $watch->redis->port);
my $nginx = $watch->nginx(b => 60, c => 40);
my $sidecar = $watch->sidecar('one', nginx => $nginx,
    redis_url => 'redis://127.0.0.1:' . $chaos->port);
my $up = 'agent_canaryd_up{party="redis"}';


sub heals {
    my ($what) = @_;
    $chaos->set_mode('pass');
    ok($sidecar->wait_metric($up, 1), "$what: healed")
        or diag($sidecar->log_text);
}


sub reason { return decode_json($sidecar->get('/healthz')->{body})->{redis} }


# -- slow, and nearly dead ----------------------------------------------------

$chaos->set_mode('delay', 150);
$nginx->set(err => 1);
ok(wait_until(15, sub { $nginx->trips }), 'a slow Redis: nginx has the trip');
$watch->tripped(1, 'and Redis as well');
$watch->audited(1, 'and the audit');

$chaos->set_mode('trickle', 1);
$nginx->set(epoch => 2);
ok(wait_until(15, sub { ($nginx->trips)[-1]{epoch} == 2 }),
   'a byte a second: nginx has the trip');
ok($sidecar->wait_metric($up, 0), 'that is no answer in time');
heals('a byte a second');
$watch->tripped(2, 'and Redis has the trip');
$watch->audited(2, 'and the audit');
$nginx->set(err => 0);


# -- nonsense -----------------------------------------------------------------

my %nonsense = (
    'an HTTP page'            => "HTTP/1.1 400 Bad Request\r\n\r\n<html>",
    'binary'                  => join('', map { chr } reverse 0 .. 255),
    'an unknown type'         => "?what\r\n",
    'a huge array'            => "*2147483647\r\n",
    'a larger array'          => "*9223372036854775807\r\n",
    'arrays in arrays'        => "*65000\r\n" x 7,
    'many arrays'             => "*3\r\n" . "*40000\r\n" . "*0\r\n" x 40_000
                               . "*40000\r\n",
    'a huge string'           => "\$2147483647\r\n",
    'a negative string'       => "\$-7\r\n",
    'deep arrays'             => "*1\r\n" x 5000,
    'nils'                    => "\$-1\r\n" x 20,
    'integers'                => ":1\r\n" x 20,
    'errors with controls'    => "-ERR \x1b[31m\x00\x07\"\xff\r\n" x 20,
    'RESP3'                   => "%1\r\n+a\r\n+b\r\n" x 20,
    'LOADING'                 => "-LOADING Redis is loading\r\n" x 20,
    'NOAUTH'                  => "-NOAUTH Authentication required.\r\n" x 20,
    'a line without an end'   => 'x' x 200_000,
);

for my $what (sort keys %nonsense) {
    $chaos->set_mode('say', unpack 'H*', $nonsense{$what});
    ok($sidecar->wait_metric($up, 0), "$what: " . reason())
        or diag($sidecar->log_text);
    unlike(reason(), qr/^(?:up)?$/, "$what: with a reason");
    heals($what);
}

ok($sidecar->turns(2), 'the judge has gone on');
unlike($sidecar->log_text, qr/[^\x20-\x7e\n]/, 'the log is text');
is(scalar $nginx->trips, 2, 'nothing was tripped by it');

my ($peak) = slurp('/proc/' . $sidecar->process->pid . '/status')
    =~ /^VmHWM:\s+(\d+) kB/m;
cmp_ok($peak, '<', 64 * 1024, 'none of it took memory')
    if !$ENV{ASAN_OPTIONS};
cmp_ok($sidecar->metric('agent_canaryd_cpu_seconds_total'), '<', 3 * slow(),
       'nor time');


# -- a good Redis, cut and mangled --------------------------------------------

for my $mode (['reset'], ['close'], ['truncate', 7], ['truncate', 60],
              ['inject', 0, '00ff0a'], ['inject', 40, '2b4f4b0d0a'])
{
    my $what = "@$mode";
    $chaos->set_mode(@$mode);
    # of what is open, only a new connection is mangled
    $watch->redis->cmd('CLIENT', 'KILL', 'USER', 'canary-sidecar');
    ok($sidecar->wait_metric($up, 0), "$what: noticed: " . reason());
    heals($what);
}

my ($accepted, $open) = $chaos->counts;
cmp_ok($open, '<=', 1, 'no connection is left behind');
$nginx->set(epoch => 3, err => 1);
$watch->tripped(3, 'after all that a trip is a trip');
$watch->audited(3, 'with one audit entry');

is($sidecar->stop, 0, 'it ends');
$chaos->process->stop;
$watch->end;

#!/usr/bin/env perl

# Evidence that rises and is never enough, by the guardrails of an owner: nginx
# is read faster for as long as that lasts, and a Redis that is away is left
# alone all the same.

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Chaos;
use Canary::Watch;

use constant {
    RULES => '{"rules":[{"metric":"error_rate","max":0.05,'
             . '"min_events":1000000}]}',
    TURNS => 100, TRIES => 50,
};

my $watch = Canary::Watch->new;
my $chaos = Canary::Chaos->start(to => $watch->redis->port);
my $nginx = $watch->nginx(b => 60, c => 40, guardrails => RULES);
my $sidecar = $watch->sidecar('one', nginx => $nginx,
    redis_url => 'redis://127.0.0.1:' . $chaos->port);

$nginx->set(err => 1);
ok($sidecar->turns(TURNS), 'a candidate that fails and cannot be tripped');
is(scalar $nginx->trips, 0, 'it is not');

$chaos->set_mode('close');
$watch->redis->cmd('CLIENT', 'KILL', 'USER', 'canary-sidecar');
ok($sidecar->wait_metric('agent_canaryd_up{party="redis"}', 0),
   'Redis is away');
my ($before) = $chaos->counts;
ok($sidecar->turns(TURNS), 'the judge goes on');
my ($after) = $chaos->counts;
cmp_ok($after - $before, '<', TRIES, 'and Redis is tried now and then');

is($sidecar->stop, 0, 'it ends');
$chaos->process->stop;
$watch->end;

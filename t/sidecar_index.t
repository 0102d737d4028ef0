#!/usr/bin/env perl

# An index of the fleet that is longer than any fleet, of names that nobody
# answers to: they are looked for once, and not again in every turn.

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Watch;

use constant { INDEX => 'agent-canary-fleet:instances', GONE => 600 };

my $watch = Canary::Watch->new;
my $redis = $watch->redis;
$redis->cmd('HSET', INDEX, map { ("gone-$_", "boot-$_ 1") } 1 .. GONE);


sub reads {
    my ($calls) = $redis->cmd('INFO', 'commandstats')
        =~ /^cmdstat_hgetall:calls=(\d+)/m;
    return $calls;
}


my $sidecar = $watch->sidecar('one', nginx => $watch->nginx(b => 9, c => 1));
ok($sidecar->wait_metric('agent_canaryd_peers', 256), 'room for some of them');
ok($sidecar->exchanges('redis', 2), 'which were looked for');

my $before = reads();
ok($sidecar->exchanges('redis', 5), 'five turns');
cmp_ok(reads() - $before, '<', 50, 'read the index, and nothing that is old');

$watch->end;

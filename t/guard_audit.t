#!/usr/bin/env perl

# The audit has an entry for a trip, or is known to lack it: what stands in
# the way of the stream is told, and the entry is written when it is gone.

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Guard qw(audit guard_story rolled_back settled with_acl);
use Canary::Util qw(wait_until);

my $story = guard_story();
my @login = with_acl($story);
my $redis = $story->redis;
my $written = 'agent_canaryd_audit_entries_total';

$redis->flag(support => percent => 50, epoch => 1);
$redis->cmd('SET', 'agent-canary-fleet:audit', 'not a stream');
my $nginx = $story->start;
my $sidecar = $story->sidecar('guard-a', options => \@login);
my $traffic = $story->traffic(rate => 200);
settled($nginx, 60, 'first all is well');

rolled_back($story, 'no stream', sub {
    $story->agent('candidate')->set('error-rate=1');
}, metric => 'error_rate');

ok($sidecar->wait_log(qr/\[error\] Redis refuses: audit "WRONGTYPE/), 'it says why not');
ok($sidecar->wait_metric('agent_canaryd_redis_refusing', 1), 'and shows it');
is($sidecar->metric($written), 0, 'no entry is written');

$redis->cmd('DEL', 'agent-canary-fleet:audit');
ok($sidecar->wait_metric($written, 1), 'until it can be');
is_deeply([map { $_->{id} } audit($redis)], ['support:1:0'], 'once');
ok($sidecar->wait_metric('agent_canaryd_redis_refusing', 0), 'all is well');

$traffic->stop;
$story->end;

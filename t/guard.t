#!/usr/bin/env perl

# What the product is for: a real candidate behind a real nginx does one thing
# after the other that it must not, and the real sidecar takes it back each
# time, for the right reason.  What it costs is in guard_cost.t.

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Guard qw(guard_story rules tell with_acl);

my $story = guard_story(workers => 2);
my @login = with_acl($story);
$story->redis->flag(support => percent => 50, epoch => 1,
                    bundle_candidate => 'support-42');
$story->start;
my $sidecar = $story->sidecar('guard-a', options => \@login);
my $traffic = $story->traffic(rate => 200);

tell($story, $sidecar,
    ['every answer an error', 'error_rate', '', 'error-rate=1'],
    ['one answer of four an error', 'error_rate',
     rules([metric => 'error_rate', max => 0.05]), 'error-rate=0.25'],
    ['more errors than the baseline', 'error_rate',
     rules([metric => 'error_rate', max_increase => 0.02]), 'error-rate=0.3'],
    ['no answer at all', 'error_rate', '', 'hang=1'],
    ['denials', 'denied_rate',
     rules([metric => 'denied_rate', max => 0.02]), 'denied-rate=0.3'],
    ['slow answers', 'latency_p95_ms',
     rules([metric => 'latency_p95_ms', max => 60]), 'latency=120'],
    ['answers slower than the baseline', 'latency_p95_ms',
     rules([metric => 'latency_p95_ms', max_ratio => 1.2]), 'latency=150'],
    ['failures behind status 200', 'error_rate',
     rules([metric => 'error_rate', max => 0.05]), 'in-band-rate=0.5'],
);

$traffic->stop;
$story->end;

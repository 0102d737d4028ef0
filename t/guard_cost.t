#!/usr/bin/env perl

# Candidates that answer well and cost too much, by their tokens or by what
# they report: see guard.t.  The answers are event streams here.

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Guard qw(guard_story rules tell);

my $dearer = rules([metric => 'cost_usd', max_ratio => 1.1]);

my $story = guard_story(workers => 2);
$story->redis->flag(support => percent => 50, epoch => 1,
                    guardrails => $dearer);
my $nginx = $story->start;
my $sidecar = $story->sidecar('guard-a');
my $traffic = $story->traffic(rate => 250, stream => 1);

tell($story, $sidecar,
    ['1.6 times the cost, by its tokens', 'cost_usd', $dearer,
     'tokens-factor=1.6', within => 30],
    ['a cost it reports', 'cost_usd',
     rules([metric => 'cost_usd', max => 0.25]), 'cost=1'],
    ['a budget spent', 'spend_usd',
     rules([metric => 'spend_usd', max => 20, per => '1h']), 'cost=0.2'],
    ['failures in a stream', 'error_rate',
     rules([metric => 'error_rate', max => 0.05]), 'in-band-rate=0.5'],
);

# those of the baseline that have none are of GET /
my $arm = $nginx->flag('support')->{arms}{candidate};
is($arm->{cost_unpriced}, $arm->{errors_in_band},
   'every whole answer of the candidate had a price');

$traffic->stop;
$story->end;

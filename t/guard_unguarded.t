#!/usr/bin/env perl

# agent_canary_unguarded: without a sidecar for too long nobody gets the
# candidate, and everybody is back where they were when one is there again.

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Guard qw(guard_story);
use Canary::Util qw(wait_until);

my $story = guard_story(http => 'agent_canary_unguarded 2s baseline;');
$story->redis->flag(support => percent => 50);
my $nginx = $story->start;


sub reason {
    return $nginx->get('/', 'X-User-Id' => 'user-00001')
        ->{headers}{'x-reason'};
}


ok(wait_until(8, sub { reason() eq 'stale' }), 'no sidecar was ever there');
$story->arms_are($story->expected(0), 'nobody gets the candidate');

my $sidecar = $story->sidecar('guard-a');
ok(wait_until(5, sub { reason() eq 'split' }), 'a sidecar');
$story->arms_are($story->expected(50), 'everybody is where they belong');
is($nginx->status->{guard}{name}, 'guard-a', 'the status names it');
like($sidecar->log_text, qr/ watches \S+ at \Q@{[$nginx->address]}\E$/m,
     'and its log names the socket of its nginx');

# a reload is no reason to be afraid
ok($nginx->reload, 'reload');
$story->arms_are($story->expected(50), 'as before');

$sidecar->kill_hard;
$story->arms_are($story->expected(50), 'killed: a moment means nothing');
ok(wait_until(8, sub { reason() eq 'stale' }), 'but 2 seconds do');
$story->arms_are($story->expected(0), 'nobody gets the candidate');
cmp_ok($nginx->status->{guard}{age_ms}, '>', 2000,
       'the status says since when');

$sidecar->start;
ok(wait_until(5, sub { reason() eq 'split' }), 'it is there again');
$story->arms_are($story->expected(50), 'and everybody, too');

$sidecar->process->signal('STOP');
ok(wait_until(8, sub { reason() eq 'stale' }), 'one that hangs is none');
$sidecar->process->signal('CONT');
ok(wait_until(5, sub { reason() eq 'split' }), 'until it goes on');

# a zone of another size remembers it: only a sidecar that is gone tells
my $http = $story->http_conf =~ s/canary:4m/canary:5m/r;
$sidecar->stop;
ok($nginx->reload(http => $http), 'reload with a larger zone');
is($nginx->status->{guard}{name}, 'guard-a',
   'it knows the sidecar that was there');
$sidecar->start;

# more flags than one sidecar guards
my $many = join '', map { "location = /f$_ { agent_canary f$_"
    . ' key=$arg_u baseline=baseline_agent candidate=candidate_agent;'
    . " proxy_pass http://agent_canary; }\n" } 1 .. 1030;
ok($nginx->reload(http => $http, server => $story->server_conf . $many),
   'reload with 1,030 flags more');
ok($sidecar->wait_log(qr/ 7 flags are not guarded: nginx has 1031, expected/),
   'the log tells how many are not guarded');
ok($sidecar->wait_metric('agent_canaryd_unguarded_flags', 7),
   'and so does a metric');

$story->end;

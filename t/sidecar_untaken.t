#!/usr/bin/env perl

# An nginx that shows its status and takes no trips: a location without
# "trip", or one that forbids a POST.  It is told of before there is a trip.

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP qw(decode_json);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Sidecar;
use Canary::Story;
use Canary::Util qw(wait_until);

my $story = Canary::Story->new;
$story->redis->flag(support => percent => 50);
my $nginx = $story->start;
my $conf = $story->server_conf;
my $up = 'agent_canaryd_up{party="post"}';

my $sidecar = Canary::Sidecar->new(dir => $story->dir, name => 'guard-a',
                                   nginx => $nginx, redis => $story->redis);
push @{ $story->{sidecars} }, $sidecar;


# The reasons of /healthz, when there is just this one of nginx.
sub unhealthy {
    my ($reason, $what) = @_;
    my $health = $sidecar->get('/healthz');
    is($health->{status}, 503, "$what: not healthy");
    is_deeply(decode_json($health->{body})->{reasons},
              [{ reason => "nginx takes no trips: it answered with $reason" }],
              "$what: and why");
}


sub lines {
    my ($pattern) = @_;
    return scalar(() = $sidecar->log_text =~ /$pattern/g);
}


# -- a location without "trip" ------------------------------------------------

$sidecar->launch;
ok($sidecar->wait_metric($up, 0), 'without "trip": seen without a trip')
    or diag($sidecar->log_text);
unhealthy('status 405: its location needs "agent_canary_api trip"',
          'without "trip"');
wait_until(20, sub {
    ($sidecar->metric('agent_canaryd_exchanges_total{party="post",'
                      . 'outcome="failed"}') // 0) >= 2;
}) or fail('tried again');
is(lines(qr/\[error\] nginx takes no trips: .* 405/), 1, 'and told once');
is(lines(qr/nginx takes trips/), 0, 'nothing else is said');

$nginx->write_conf(server => $conf =~ s/agent_canary_api/$& trip/r);
ok($nginx->reload, 'a reload, with it');
ok($sidecar->wait_metric($up, 1), 'with "trip": seen');
ok(wait_until(10, sub { $sidecar->healthy }), 'and healthy')
    or diag($sidecar->get('/healthz')->{body});
is(lines(qr/\[info\] nginx takes trips\n/), 1, 'which the log says');
is($nginx->flag('support')->{trip}, undef, 'nothing was tripped by it');


# -- one that forbids a POST, and another nginx -------------------------------

$nginx->stop;
my $there = $nginx->address;
ok($sidecar->wait_log(qr{nginx is lost: \Q$there\E: No such file}),
   'nginx stopped: the log tells its socket') or diag($sidecar->log_text);
$nginx->write_conf(server => $conf
    =~ s/agent_canary_api/limit_except GET { deny all; } $& trip/r);
$nginx->start;
ok($sidecar->wait_metric($up, 0, 20), 'without POST: seen')
    or diag($sidecar->log_text);
unhealthy('status 403: its location forbids a POST', 'without POST');

$nginx->write_conf(server => $conf =~ s/agent_canary_api/$& trip/r);
ok($nginx->reload, 'another reload');
ok($sidecar->wait_metric($up, 1), 'with POST: seen');

$story->end;

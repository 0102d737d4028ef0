#!/usr/bin/env perl

# Three nginx with a sidecar each, and so little traffic that none of them
# could tell alone: together they can, and one of them writes it down.

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP qw(decode_json);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Guard qw(audit guard_story heal);
use Canary::Oracle;
use Canary::Util qw(wait_until);

my $story = guard_story(workers => 1);
my $redis = $story->redis;
$redis->flag(support => percent => 50, epoch => 1);

my @nginx = ($story->start);

for my $name (qw(nginx-b nginx-c)) {
    push @nginx, $story->node($name)->start;
    $nginx[-1]->wait_redis('ready') or die "no link to Redis\n";
}

my %arm = %{ $story->expected(50) };
my @unlucky = grep { $arm{$_} eq 'candidate' } sort keys %arm;


sub tripped {
    my ($nginx) = @_;
    return ($nginx->flag('support') // {})->{tripped};
}


sub failures {
    my ($nginx) = @_;
    return $nginx->flag('support')->{arms}{candidate}{errors_status} // 0;
}


# One failure at each of these at a time, until the first has tripped.
sub fail_until_tripped {
    my ($limit, @at) = @_;

    for my $round (1 .. $limit) {
        $_->get('/', 'X-User-Id' => $unlucky[$round]) for @at;
        return $round if wait_until(1.2, sub { tripped($at[0]) });
    }

    return;
}


# -- how much one needs alone -------------------------------------------------

$story->agent('candidate')->set('error-rate=1');
my $alone = $story->sidecar('guard-a', nginx => $nginx[0]);
my $needed = fail_until_tripped(20, $nginx[0]);
ok($needed, 'one alone trips, too') or diag($alone->log_text);
note("one alone needs $needed failures");
ok(wait_until(5, sub { audit($redis) == 1 }), 'one audit entry');
is(decode_json((audit($redis))[0]{record})->{evidence}{instances}, 1,
   'by one instance');
ok(wait_until(5, sub { tripped($nginx[1]) && tripped($nginx[2]) }),
   'the others follow through Redis');


# -- together -----------------------------------------------------------------

my @sidecar = ($alone, map {
    $story->sidecar("guard-" . qw(a b c)[$_], nginx => $nginx[$_])
} 1, 2);
my @before = map { failures($_) } @nginx;

$redis->flag(support => epoch => 2);
ok($_->wait_flag('support', epoch => 2, tripped => 0), 'lifted') for @nginx;

for my $sidecar (@sidecar) {
    ok($sidecar->wait_metric('agent_canaryd_peers', 2),
       "$sidecar->{name} knows the others");
    ok($sidecar->wait_metric('agent_canaryd_flag_epoch{flag="support"}', 2),
       "$sidecar->{name} knows the epoch");
    ok($sidecar->wait_metric('agent_canaryd_flag_windows{flag="support"}', 3),
       "$sidecar->{name} reads all windows")
        or diag($sidecar->get('/metrics')->{body});
}

my $rounds = fail_until_tripped($needed, @nginx);
ok($rounds, 'tripped together') or diag(map { $_->log_text } @sidecar);

my @failed = map { failures($nginx[$_]) - $before[$_] } 0 .. 2;
note("failures: @failed");
cmp_ok($failed[$_], '<', $needed, "$_: had too few alone") for 0 .. 2;

ok(wait_until(5, sub { tripped($nginx[1]) && tripped($nginx[2]) }),
   'everywhere');
ok(wait_until(5, sub { audit($redis) == 2 }), 'an audit entry');

my $record = decode_json((audit($redis))[1]{record});
is($record->{epoch}, 2, 'of this epoch');
is($record->{evidence}{instances}, 3, 'of three instances');
cmp_ok($record->{evidence}{requests}, '>', $failed[0], 'of more than one');

for my $sidecar (@sidecar) {
    ok($sidecar->wait_metric('agent_canaryd_flag_trip_pending{flag="support"}',
                             0), "$sidecar->{name}: told everywhere");
    ok($sidecar->wait_metric('agent_canaryd_events_pending', 0),
       "$sidecar->{name}: nothing is left to write");
}

ok($_->wait_log(qr/to lift it: redis-cli HSET \S+:support epoch 3$/m),
   "$_->{name}: tells how to lift it") for @sidecar;

is(scalar audit($redis), 2, 'and only one');

my @written = map { $_->metric('agent_canaryd_audit_entries_total') } @sidecar;
is(eval { $written[0] + $written[1] + $written[2] }, 2,
   "each entry has one writer (@written)");

heal($story);
$story->end;

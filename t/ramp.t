#!/usr/bin/env perl

# The main promise: a field flipped with redis-cli moves exactly the right
# users, on every worker, and nobody who is in leaves while a ramp goes up.

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Oracle qw(users);
use Canary::Process qw(alive);
use Canary::Story;
use Canary::Util qw(command_output wait_until);

use constant USERS => 5000;

my $story = Canary::Story->new(workers => 4, location => <<'END');
            add_header X-Pid $pid always;
END
my $redis = $story->redis;
$redis->flag(support => percent => 0);
my $nginx = $story->start;


sub cli {
    my (@command) = @_;
    my ($text, $status) = command_output('redis-cli', '-s', $redis->unix_path,
                                         @command);
    is($status, 0, "redis-cli @command") or diag($text);
}


# -- a ramp -------------------------------------------------------------------

my %inside;

for my $percent (1, 5, 25, 50, 100) {
    cli('HSET', 'agent-canary:flag:support', 'percent', $percent);
    ok($nginx->wait_flag('support', percent => $percent), "$percent % is seen");

    my $expected = $story->expected($percent, USERS);
    $story->arms_are($expected, "at $percent % exactly the right users of "
                                . USERS);

    my @left = grep { $inside{$_} && $expected->{$_} ne 'candidate' }
        keys %inside;
    is(scalar(@left), 0, "nobody left on the way to $percent %");
    %inside = map { $_ => 1 }
        grep { $expected->{$_} eq 'candidate' } keys %$expected;
}


# -- every worker -------------------------------------------------------------

# Asks until each of the workers has answered; every answer counts, so a
# worker that learns of the flip late is found.
sub every_worker_says {
    my ($arm, $what) = @_;
    my %workers = map { $_ => 1 } $nginx->workers;
    my %answered;
    my $wrong = 0;

    wait_until(10, sub {
        for (1 .. 20) {
            my $answer = $nginx->get('/', 'X-User-Id' => 'alice');
            $answered{ $answer->{headers}{'x-pid'} } = 1;
            $wrong++ if $answer->{headers}{'x-agent'} ne $arm;
        }
        return !grep { !$answered{$_} } keys %workers;
    });

    is(scalar(keys %answered), 4, "$what: all of 4 workers were asked");
    is($wrong, 0, "$what: all of them answered $arm");
}


for my $round (1 .. 3) {
    for my $flip ([0, 'baseline'], [100, 'candidate']) {
        my ($percent, $arm) = @$flip;
        $redis->flag(support => percent => $percent);
        ok($nginx->wait_flag('support', percent => $percent), "$percent %");
        every_worker_says($arm, "round $round, $percent %");
    }
}


# -- the kill switch ----------------------------------------------------------

cli('HSET', 'agent-canary:flag:support', 'enabled', 0);
ok($nginx->wait_flag('support', enabled => qr/^0|^$/), 'the kill switch');
$story->arms_are($story->expected(0, 500), 'everybody is on the baseline');
is($nginx->get('/', 'X-User-Id' => 'alice')->{headers}{'x-reason'}, 'disabled',
   'and the reason says why');
cli('HSET', 'agent-canary:flag:support', 'enabled', 1);
ok($nginx->wait_flag('support', enabled => 1), 'on again');
$story->arms_are($story->expected(100, 500), 'everybody is back');


# -- lists, salt, fields that go ----------------------------------------------

$redis->flag(support => percent => 10);
$redis->flag(support => allow => '["user-00001"]', deny => '["user-00002"]');
ok($nginx->wait_flag('support', deny => 1), 'lists');
my $expected = $story->expected(10, 500);
$expected->{'user-00001'} = 'candidate';
$expected->{'user-00002'} = 'baseline';
$story->arms_are($expected, 'lists are obeyed, and nobody else moves');

$redis->cmd('HDEL', 'agent-canary:flag:support', 'allow', 'deny');
ok($nginx->wait_flag('support', deny => 0), 'lists removed');
$story->arms_are($story->expected(10, 500), 'and all is as it was');

$redis->flag(support => salt => 'pepper');
my $peppered = $story->expected(10, 500, 'pepper');
ok(wait_until(5, sub {
    $nginx->get('/canary/explain?flag=support&key=user-00001')->{body}
        =~ /"bucket":@{[Canary::Oracle::bucket('pepper', 'user-00001')]}\b/;
}), 'another salt');
$story->arms_are($peppered, 'draws other users');


# -- the flag goes and comes --------------------------------------------------

$redis->drop_flag('support');
ok($nginx->wait_flag('support', state => 'deleted'), 'the flag is deleted');
$story->arms_are($story->expected(0, 200), 'everybody is on the baseline');
is($nginx->get('/', 'X-User-Id' => 'alice')->{headers}{'x-reason'}, 'default',
   'reason: default');
$redis->flag(support => percent => 50);
ok($nginx->wait_flag('support', state => 'ok'), 'the flag is created again');
$story->arms_are($story->expected(50, 500), 'half of the users again');


# -- under load ---------------------------------------------------------------

# 100 flips of a field that must not move anybody.
my $load = $story->load($story->expected(50, 300));
for my $flip (1 .. 100) {
    $redis->flag(support => bundle_candidate => "v$flip");
}
ok(wait_until(5, sub {
    $nginx->flag('support')->{bundle}{candidate} eq 'v100';
}), 'the last of 100 writes is seen');
$load->wait_requests(100);
$story->end_load($load, '100 writes in a row');

ok(alive($_), "worker $_ has lived through it") for $nginx->workers;
unlike($nginx->log_text, qr/\[error\]/, 'no error was logged');
$story->end;

#!/usr/bin/env perl

# A trip always wins: no order of arrival, no blind HSET, no restart and no
# loss of Redis may undo it.  Only a higher epoch does.

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP qw(encode_json);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Story;
use Canary::Util qw(wait_until);

my $story = Canary::Story->new(state => 1, workers => 2);
my $redis = $story->redis;
$redis->flag(support => percent => 50, epoch => 5);
my $nginx = $story->start;
my $nobody = $story->expected(0);


sub trip {
    my (%trip) = @_;
    $redis->trip('support', encode_json({ flag => 'support', by => 'guard',
                                          %trip }));
}


sub held {
    my ($what) = @_;
    $story->arms_are($nobody, "$what: the trip holds");
}


# Until this write has been read, whatever it says.
sub wait_read {
    my $reads = $nginx->status->{redis}{reads};
    wait_until(5, sub { $nginx->status->{redis}{reads} > $reads });
}


sub flag_and_wait {
    my (%fields) = @_;
    my $reads = $nginx->status->{redis}{reads};
    $redis->flag(support => %fields);
    wait_until(5, sub { $nginx->status->{redis}{reads} > $reads });
}


$story->arms_are($story->expected(50), 'before');

trip(epoch => 5, percent => 0, reason => 'error_rate');
ok($nginx->wait_flag('support', tripped => 1), 'tripped');
held('at once');
is($nginx->flag('support')->{trip}{record}{reason}, 'error_rate',
   'the status shows the evidence');
ok($nginx->wait_log(
    qr/\[error\] .* "support" is ok, .*, TRIPPED to 0 % at epoch 5/),
   'and the log does not just say that all is well');

flag_and_wait(percent => 25);
is($nginx->flag('support')->{percent}, 25, 'a blind HSET percent 25');
held('HSET percent 25');

flag_and_wait(percent => 100, epoch => 5);
held('HSET with the same epoch');

$redis->cmd('DEL', 'agent-canary:trip:support');
wait_read();
held('the trip deleted from Redis');

trip(epoch => 4, percent => 100);
wait_read();
held('an older trip');

trip(epoch => 5, percent => 30);
wait_read();
held('a milder trip of the same epoch');

$redis->cmd('SET', 'agent-canary:trip:support', 'not JSON');
ok($nginx->wait_flag('support', state => 'invalid', reason => qr/not JSON/),
   'a trip that is no JSON is told');
held('a broken trip');

$redis->cmd('SET', 'agent-canary:trip:support', '');
ok($nginx->wait_flag('support', state => 'invalid', reason => qr/trip/),
   'so is an empty one');
held('an empty trip');

ok($nginx->reload, 'reload');
held('a reload');

ok(wait_until(10, sub { !$nginx->status->{state_file}{pending} }),
   'the state file is written');
$redis->cmd('FLUSHALL');
$redis->{inited} = 0;
ok($nginx->wait_flag('support', state => 'store_empty'), 'FLUSHALL');
held('FLUSHALL');

is($nginx->stop, 0, 'nginx stops');
$redis->stop;
$nginx->start;
held('a restart without Redis');
ok($nginx->flag('support')->{tripped}, 'the status knows it from the file');

$redis->start;
$nginx->wait_redis('ready');
$redis->flag(support => percent => 100, epoch => 5);
ok($nginx->wait_flag('support', state => 'ok'), 'the flag is written again');
held('a flag written again with its old epoch');

$redis->flag(support => percent => 50, epoch => 6);
ok($nginx->wait_flag('support', epoch => 6), 'a higher epoch');
$story->arms_are($story->expected(50), 'lifts the trip');
ok($nginx->wait_log(qr/epoch 6.*, last trip at epoch 5/), 'says the log');

trip(epoch => 6, percent => 5);
ok($nginx->wait_flag('support', tripped => 1), 'a step back');
$story->arms_are($story->expected(5), 'leaves the previous stage');

trip(epoch => 6, percent => 0);
ok(wait_until(5, sub { ($nginx->flag('support')->{trip}{percent} // 100) == 0 }),
   'then all the way');
held('further back');

trip(epoch => 9, percent => 0);
wait_until(5, sub {
    ($nginx->flag('support')->{trip}{epoch} // 0) == 9;
});
$redis->flag(support => epoch => 9);
ok($nginx->wait_flag('support', epoch => 9), 'a trip ahead of the flag');
held('a trip that came before its epoch');

# what changes nothing of it is no error
is(join(', ', $nginx->log_text =~ /\[error\] .*(TRIPPED to .* at epoch \d+)/g),
   'TRIPPED to 0 % at epoch 5, TRIPPED to 5 % at epoch 6, '
   . 'TRIPPED to 0 % at epoch 6', 'each trip is an error once');

$story->end;

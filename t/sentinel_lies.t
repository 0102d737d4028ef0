#!/usr/bin/env perl

# Sentinels that lie, disagree, talk nonsense or name a server that is not
# there: a master that answers is kept until most of them name another one,
# and whatever they name, nobody becomes a candidate by it.
# (Rows R14 and R15; what real Sentinels do is in sentinel.t.)

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Copy qw(copy);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Chaos;
use Canary::Redis;
use Canary::Story;
use Canary::Util qw(free_port wait_until);

my $story = Canary::Story->new(state => 1, workers => 2);
my $dir = $story->dir;
my @watchers = map { Canary::Chaos->start } 1 .. 3;
my $redis = $story->redis;
$redis->flag(support => percent => 50, epoch => 3);

# what the others hold would move everybody
$redis->cmd('SAVE');
my %server = map {
    $_ => Canary::Redis->new(dir => $dir, name => $_)
} qw(other old replica);
copy("$redis->{home}/dump.rdb", "$server{old}{home}/dump.rdb") or die "$!";
$server{replica}{options} = ['--replicaof', '127.0.0.1', $redis->port];
$_->start for values %server;
$server{other}->flag(support => percent => 100, epoch => 99);
$redis->flag(support => epoch => 4);


# What a Sentinel says of the master: a port, or bytes of another answer.
sub says {
    my ($what) = @_;
    return $what =~ /^\d+$/
        ? "*2\r\n\$9\r\n127.0.0.1\r\n\$" . length($what) . "\r\n$what\r\n"
        : $what;
}


sub sentinels_say {
    my @what = @_;
    $watchers[$_]->set_mode('answer', unpack 'H*', says($what[$_])) for 0 .. 2;
}


my $true = $redis->port;
sentinels_say(($true) x 3);
$story->{redis_url} = join ' ', map { 'redis://127.0.0.1:' . $_->port }
    @watchers;
$story->{redis_args} = 'sentinel=mymaster';
my $nginx = $story->start;
$nginx->wait_flag('support', state => 'ok', epoch => 4) or die 'no flag';
my $load = $story->load($story->expected(50));
my $round = 0;


sub kept {
    my ($what, @say) = @_;
    my $connects = $nginx->status->{redis}{connects};

    sentinels_say(@say);
    $load->wait_requests(500);
    is($nginx->status->{redis}{state}, 'ready', "$what: the master is kept");
    is($nginx->status->{redis}{connects}, $connects, "$what: all the time");

    my $mark = 'round-' . ++$round;
    $redis->flag(support => bundle_candidate => $mark);
    ok(wait_until(5, sub {
        $nginx->flag('support')->{bundle}{candidate} eq $mark;
    }), "$what: and obeyed");
}


sub held {
    my ($what, $state, $reason, @say) = @_;

    sentinels_say(@say);
    ok(wait_until(15, sub {
        my $flag = $nginx->flag('support');
        my $why = $nginx->status->{redis}{reason} . $flag->{reason};
        $flag->{state} eq $state && $why =~ $reason;
    }), "$what: $state")
        or diag(explain($nginx->status->{redis}));
    $load->wait_requests(100);

    sentinels_say(($true) x 3);
    ok($nginx->wait_redis('ready'), "$what: the true master again");
    ok($nginx->wait_flag('support', state => 'ok'), "$what: and its flag");
}


my $other = $server{other}->port;
my $nowhere = free_port();

kept('one lies', $other, $true, $true);
kept('one names a dead one', $true, $nowhere, $true);
kept('all name another one each', $other, $nowhere, $true);
kept('two know of none', ("*-1\r\n") x 2, $true);
kept('all know of none', ("*-1\r\n") x 3);
kept('all talk nonsense', "HTTP/1.1 400\r\n\r\n",
     "*2\r\n\$4\r\n\$(id)\r\n\$1\r\n1\r\n",
     "*2\r\n\$1\r\na\r\n\$6\r\n123456\r\n");
kept('all are refusing', "-NOAUTH no\r\n", "-IDONTKNOW\r\n", ":1\r\n");

held('most name a dead one', 'stale', qr/refused/, ($nowhere) x 2, $true);
held('most name a replica', 'stale', qr/master|role/i,
     ($server{replica}->port) x 3);
held('most name one that was restored', 'stale_epoch', qr/epoch "3"/,
     ($server{old}->port) x 3);

$story->end_load($load, 'all of it');

# what most of them say, and is the master, is followed
sentinels_say($other, $other, $true);
ok($nginx->wait_flag('support', epoch => 99), 'two of three are most');
$story->arms_are($story->expected(100), 'and who they name is obeyed');

$_->process->stop for @watchers;
$_->stop for values %server;
$story->end;

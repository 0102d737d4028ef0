#!/usr/bin/env perl

# A master dies, sleeps, is demoted, comes back empty or with an old life: the
# link follows the majority of the Sentinels, the latch holds, and a server
# that only believes to be the master is not obeyed.
# (Rows R13 to R15 of the fault matrix.)

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Sentinel;
use Canary::Story;
use Canary::Util qw(wait_until);

my $story = Canary::Story->new(state => 1, workers => 2);
my $set = Canary::Sentinel->start(dir => $story->dir, replicas => 2);
$story->{redis_url} = $set->urls;
$story->{redis_args} = 'sentinel=mymaster';

my $master = $set->master;
$master->flag(support => percent => 50, epoch => 2);
my $nginx = $story->start;
ok($nginx->wait_flag('support', state => 'ok'), 'found by the Sentinels');
like($nginx->status->{redis}{address}, qr/:@{[$master->port]}\b/,
     'the status names the master');

my $load = $story->load($story->expected(50));


# Waits for a master other than the old one, whichever the Sentinels agree on
# in the end, and proves that the link obeys it, by a write.
sub follows {
    my ($what, $old) = @_;
    my $mark = "after $what";
    my $written;

    my $new = wait_until(40, sub {
        my $master = $set->master;
        return if !$master || $old && $master == $old;

        if (!$written || $written != $master) {
            eval { $master->cmd('HSET', 'agent-canary:flag:support',
                                'bundle_candidate', $mark); 1 } or return;
            $written = $master;
        }

        my $flag = $nginx->flag('support');
        my $port = $master->port;
        return ($flag->{bundle}{candidate} // '') eq $mark
            && $nginx->status->{redis}{address} =~ /:$port\b/ && $master;
    });

    ok($new, "$what: the master is obeyed, and the status names it")
        or die explain($nginx->status), "no failover\n";
    return $new;
}


sub replicas_follow {
    my ($new) = @_;
    wait_until(30, sub {
        my $role = eval { $new->cmd('ROLE') } or return;
        @{ $role->[2] } >= 1 && $set->settled;
    });
}


# -- by command ---------------------------------------------------------------

replicas_follow($master);
$set->{watchers}[0]->cmd('SENTINEL', 'FAILOVER', 'mymaster');
my $second = follows('SENTINEL FAILOVER', $master);


# -- by death, and back empty -------------------------------------------------

replicas_follow($second);
$second->kill_hard;
my $third = follows('SIGKILL', $second);

# what was killed comes back: empty, and believes to be the master
$second->{inited} = 1;
$second->start;
$second->cmd('HSET', 'agent-canary:flag:support', 'percent', 100,
             'epoch', 99) if Canary::Sentinel::is_master($second);
wait_until(20, sub { !Canary::Sentinel::is_master($second) });
is($nginx->flag('support')->{epoch}, 2, 'a returned master is not obeyed');


# -- by sleep, with a trip ----------------------------------------------------

replicas_follow($third);
$story->end_load($load, 'three masters');
$third->trip(support => '{"epoch":2,"percent":0}');
ok($nginx->wait_flag('support', tripped => 1), 'a trip');
$story->arms_are($story->expected(0), 'the trip holds');

$third->freeze;
my $fourth = follows('SIGSTOP', $third);
$story->arms_are($story->expected(0), 'the trip holds after the failover');
$fourth->cmd('DEL', 'agent-canary:trip:support');
$third->thaw;

# for a while the old master believes in itself
$third->drop_client;
eval { $third->cmd('HSET', 'agent-canary:flag:support', 'percent', 100,
                   'epoch', 77) };
wait_until(20, sub { !Canary::Sentinel::is_master($third) });
is($nginx->flag('support')->{epoch}, 2, 'a woken master is not obeyed');
$story->arms_are($story->expected(0), 'and the trip holds for ever');


# -- Sentinels die ------------------------------------------------------------

$load = $story->load($story->expected(0));
my @watchers = $set->watchers;
$_->process->signal('STOP') for @watchers[0, 1];
$load->wait_requests(200);
is($nginx->status->{redis}{state}, 'ready',
   'without most Sentinels the master is kept as long as it answers');
$watchers[2]->process->signal('STOP');
$load->wait_requests(400);
is($nginx->status->{redis}{state}, 'ready', 'without all of them, too');
$_->process->signal('CONT') for @watchers;
follows('Sentinels awake');

$story->end_load($load, 'Sentinels that sleep');
$nginx->stop;
$story->{ended} = 1;
$set->stop;
$story->end;

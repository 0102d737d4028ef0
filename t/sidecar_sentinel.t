#!/usr/bin/env perl

# The sidecar and a master that is replaced: it finds the new one by the
# Sentinels, with a password for them and another for Redis, and a database
# that is not the first.  A trip that the old master took to its grave is
# asserted anew, with its audit entry.  (Row R13 of the fault matrix.)

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Guard qw(audit);
use Canary::Sentinel;
use Canary::Util qw(spew wait_until);
use Canary::Watch;

my $watch = Canary::Watch->new;
my $dir = $watch->dir;
spew("$dir/sentinel.pass", "wrong\n");
chmod 0600, "$dir/sentinel.pass";

my $set = Canary::Sentinel->start(dir => $dir, replicas => 2,
    options => $watch->{redis_options},
    conf => "user default on nopass ~* &* +\@all\n"
        . 'user canary-sidecar on >of-sentinel resetchannels resetkeys -@all'
        . " +sentinel|get-master-addr-by-name\n");
my $webhook = $watch->webhook;
my $nginx = $watch->nginx(b => 60, c => 40);
master($set->master);

my $sidecar = $watch->new_sidecar('one', nginx => $nginx,
    redis_url => [map { 'redis://127.0.0.1:' . $_->port . '/3' }
                  $set->watchers],
    options => ['--sentinel', 'mymaster',
                '--sentinel-user', 'canary-sidecar',
                '--sentinel-password-file', "$dir/sentinel.pass",
                '--webhook', $webhook->url]);


# Whom to ask what Redis has, in the database of the sidecar.
sub master {
    my ($master) = @_;
    $master->drop_client;
    $master->{database} = 3;
    $watch->{redis} = $master;
}


# Waits for another master.
sub another {
    my ($what) = @_;
    my $old = $watch->{redis};
    my $new = wait_until(40, sub {
        my $master = $set->master;
        $master && $master != $old && Canary::Sentinel::is_master($master)
            && $master;
    });
    ok($new, "$what: there is a new master") or die "no failover\n";
    master($new);
}


# Waits for a replica that has all that the master has.
sub replicated {
    wait_until(30, sub { $set->ready }) or die "no replica\n";
    $watch->redis->cmd('WAIT', 1, 5000);
}


# The log has the address of the master of that moment, and its database.
sub lifted_at_master {
    my ($epoch, $what) = @_;
    my ($line) = $sidecar->log_text
        =~ /to lift it from here: (.* epoch @{[$epoch + 1]})$/m;

    is($line, 'redis-cli -p ' . $watch->redis->port . ' -n 3 HSET '
       . 'agent-canary:flag:support epoch ' . ($epoch + 1),
       "$what: where to lift it");
}


sub told {
    my ($n, $what) = @_;
    is(join(' ', sort map { $_->{id} } $webhook->calls),
       join(' ', map { "support:$_:0" } 1 .. $n),
       "$what: the webhook was called once for each");
}


# -- the password of the Sentinels --------------------------------------------

$sidecar->start;
my $asked = qr/127\.0\.0\.1:\d+: AUTH "WRONGPASS/;
ok($sidecar->wait_log(
    qr/master "mymaster": expected a Sentinel that knows it; $asked/),
   'a wrong password: no Sentinel answers') or diag($sidecar->log_text);
spew("$dir/sentinel.pass", "of-sentinel\n");
$sidecar->process->signal('HUP');
ok($sidecar->wait_metric('agent_canaryd_up{party="redis"}', 1),
   'the right one: the master is found') or diag($sidecar->log_text);


# -- a trip before a failover -------------------------------------------------

$nginx->set(err => 1);
$watch->tripped(1, 'a trip');
$watch->audited(1, 'with an entry');
lifted_at_master(1, 'a trip');
unlike($watch->redis->cmd('INFO', 'keyspace'), qr/^db(?!3:)/m,
       'in the database of the URL');

replicated();
($set->watchers)[0]->cmd('SENTINEL', 'FAILOVER', 'mymaster');
another('by command');
ok(wait_until(10, sub {
    $watch->redis->cmd('CLIENT', 'LIST') =~ /user=canary-sidecar/;
}), 'by command: the sidecar follows') or diag($sidecar->log_text);
$watch->tripped(1, 'by command: the trip is there');
$watch->audited(1, 'by command: with its entry');
told(1, 'by command');


# -- one that only the old master had -----------------------------------------

replicated();
my $old = $watch->redis;
my @others = grep { $_ != $old } $set->servers;
$_->freeze for @others;
$nginx->set(epoch => 2);
$watch->tripped(2, 'a trip that no replica has');
ok(wait_until(10, sub { audit($old) == 2 }), 'and its entry');
ok(wait_until(10, sub { $webhook->calls == 2 }), 'and its call');
$old->kill_hard;
$_->thaw for @others;
another('SIGKILL');
ok($sidecar->wait_log(qr/Redis answers(?s:.*)Redis is lost(?s:.*)Redis answer/),
   'SIGKILL: the sidecar follows') or diag($sidecar->log_text);
$watch->tripped(2, 'SIGKILL: the new master has the trip');
$watch->audited(2, 'SIGKILL: and its entry');
told(2, 'SIGKILL');


# -- one while there is no master ---------------------------------------------

$old->{options} = [@{ $old->{options} }, '--replicaof', '127.0.0.1',
                   $watch->redis->port];
$old->start;
replicated();
my $asleep = $watch->redis;
$asleep->freeze;
$nginx->set(epoch => 3);
ok(wait_until(15, sub { ($nginx->trips)[-1]{epoch} == 3 }),
   'without a master nginx has the trip');
another('SIGSTOP');
$watch->tripped(3, 'SIGSTOP: the new master has the trip');
$watch->audited(3, 'SIGSTOP: and its entry');
$asleep->thaw;
ok(wait_until(20, sub {
    $asleep->drop_client;
    !Canary::Sentinel::is_master($asleep);
}), 'who wakes is no master');
$watch->audited(3, 'and takes nothing away');
told(3, 'SIGSTOP');


# -- Sentinels that sleep -----------------------------------------------------

$_->process->signal('STOP') for $set->watchers;

# on a busy machine they may have chosen once more
master((grep { Canary::Sentinel::is_master($_) } $set->servers)[0]);
$nginx->set(epoch => 4);
$watch->tripped(4, 'without Sentinels the master is kept');
$watch->audited(4, 'and takes an entry');
lifted_at_master(4, 'another master');
$_->process->signal('CONT') for $set->watchers;

is($sidecar->stop, 0, 'it ends');
$set->stop;
delete $watch->{redis};
$watch->end;

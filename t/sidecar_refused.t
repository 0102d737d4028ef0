#!/usr/bin/env perl

# A real Redis that is alive and takes no writes, for each of its reasons, and
# a candidate that fails meanwhile: it is rolled back at once at its nginx, the
# log and the metrics say what Redis said, and Redis has the trip as soon as
# it takes it, with one audit entry.  Two sidecars watch the same nginx.
# (Rows R8, S2 and S4 of the fault matrix.)

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP qw(decode_json);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Guard qw(audit guard_story heal lift rolled_back settled
                     with_acl);
use Canary::Redis;
use Canary::Util qw(wait_until);

my $story = guard_story();
my @login = with_acl($story);
push @{ $story->{redis_options} }, '--repl-diskless-sync-delay', 0;
my $redis = $story->redis;
$redis->flag(support => percent => 50, epoch => 1);
my $nginx = $story->start;
my @sidecar = map { $story->sidecar($_, options => \@login) } qw(one two);
my $traffic = $story->traffic(rate => 200);
my $epoch = 1;

# whom REPLICAOF can point to: it holds what the first one has
my $master = Canary::Redis->new(dir => $story->dir, name => 'master',
    options => ['--repl-diskless-sync-delay', 0])->start;


sub metric {
    my ($name, $value) = @_;
    my $all = 1;
    $all &&= $_->wait_metric($name, $value) for @sidecar;
    return $all;
}


# Before each of them all is well, and afterwards again.
sub refuses {
    my ($what, $how, $says, %state) = @_;

    settled($nginx, 60, "$what: first all is well");
    my @logged = map { length $_->log_text } @sidecar;
    $how->{begin}->();
    ok(metric(@{ $state{metric} }), "$what: the metrics say so")
        or diag($sidecar[0]->log_text);

    my $record = rolled_back($story, $what, sub {
        $story->agent('candidate')->set('error-rate=1');
    }, metric => 'error_rate');
    is($record->{epoch}, $epoch, "$what: of its epoch");
    is($record->{evidence}{instances}, 1, "$what: one nginx, seen twice");

    $sidecar[0]->turns(4);

    for my $i (0, 1) {
        ok(wait_until(10, sub {
            substr($sidecar[$i]->log_text, $logged[$i]) =~ $says;
        }), "$what: so does the log of $sidecar[$i]{name}")
            or diag(substr $sidecar[$i]->log_text, $logged[$i]);
        my @lines = substr($sidecar[$i]->log_text, $logged[$i])
            =~ /(\[error\] (?:redis|Redis).*)/g;
        cmp_ok(scalar @lines, '<', 5, "$what: and does not go on about it")
            or diag(join "\n", @lines);
    }

    $state{while}->() if $state{while};

    $how->{end}->();
    ok(wait_until(15, sub {
        my $trip = eval { $redis->cmd('GET', 'agent-canary:trip:support') };
        $trip && decode_json($trip)->{epoch} == $epoch;
    }), "$what: Redis has the trip when it takes it")
        or diag($sidecar[0]->log_text);
    ok(metric('agent_canaryd_redis_refusing', 0), "$what: refuses nothing");
    ok(metric('agent_canaryd_up{party="redis"}', 1), "$what: is up");
    ok(metric('agent_canaryd_events_pending', 0), "$what: all is written");
    Canary::Sidecar::exchanged('redis', 2, @sidecar);
    is(scalar audit($redis), $epoch, "$what: one audit entry")
        or diag(map { $_->log_text } @sidecar);

    heal($story);
    ok($nginx->wait_redis('ready'), "$what: nginx has Redis");
    lift($story, $sidecar[0], ++$epoch);
}


sub no_trip {
    my $trip = $redis->cmd('GET', 'agent-canary:trip:support');
    ok(!$trip || decode_json($trip)->{epoch} < $epoch, 'Redis has no trip');
    is($sidecar[0]->get('/healthz')->{status}, 200,
       'which is no reason to be unhealthy');
}


my @refusing = (metric => ['agent_canaryd_redis_refusing', 1],
                while => \&no_trip);

refuses('OOM', {
    begin => sub { $redis->cmd('CONFIG', 'SET', 'maxmemory', 1) },
    end => sub { $redis->cmd('CONFIG', 'SET', 'maxmemory', 0) },
}, qr/\[error\] Redis refuses: .*"OOM command not allowed/, @refusing);

like($sidecar[0]->log_text, qr/\[info\] Redis takes everything again/,
     'the log says when it is over');

refuses('NOREPLICAS', {
    begin => sub { $redis->cmd('CONFIG', 'SET', 'min-replicas-to-write', 1) },
    end => sub { $redis->cmd('CONFIG', 'SET', 'min-replicas-to-write', 0) },
}, qr/\[error\] Redis refuses: .*"NOREPLICAS Not enough good replicas/,
    @refusing);

# all of the rights to write; the trip alone; the audit alone
for my $rights (['NOPERM', 'agent-canary*'], ['a trip', 'agent-canary:*'],
                ['an audit entry', 'agent-canary-fleet:audit*'])
{
    my ($what, $keys) = @$rights;
    my $user = 'canary-sidecar';
    my %acl = @{ $redis->cmd('ACL', 'GETUSER', $user) };
    my @selectors = map { my %s = @$_; [@s{qw(commands keys)}] }
        @{ $acl{selectors} };

    # the right to read what is read stays
    my @kept = grep { $_->[1] !~ /W/ } @selectors;
    my $write = $what eq 'NOPERM' ? [] : $what eq 'a trip'
        ? ['(%RW~agent-canary-fleet:* resetchannels -@all +get +set +hset'
           . ' +hdel +hgetall +expire +xadd +watch +unwatch +multi +exec)']
        : ['(%W~agent-canary:trip:* resetchannels -@all +set)',
           '(%RW~agent-canary-fleet:i* %RW~agent-canary-fleet:w*'
           . ' resetchannels -@all +hset +hdel +hgetall +expire)'];
    my @before = map { "($_->[1] $_->[0])" } @selectors;

    refuses($what, {
        begin => sub {
            $redis->cmd('ACL', 'SETUSER', $user, 'clearselectors', @$write);
        },
        end => sub {
            $redis->cmd('ACL', 'SETUSER', $user, 'clearselectors', @before);
        },
    }, qr/\[error\] Redis refuses: .*"NOPERM/, $what eq 'NOPERM'
        ? @refusing : $what eq 'a trip'
        ? (metric => ['agent_canaryd_redis_refusing', 0], while => sub {
               ok(metric('agent_canaryd_redis_refusing', 1),
                  'refused is the trip');
               no_trip();
           })
        : (metric => ['agent_canaryd_redis_refusing', 0], while => sub {
               ok(metric('agent_canaryd_redis_refusing', 1),
                  'refused is the entry');
               is(scalar audit($redis), $epoch - 1, 'it is not there');
           }));
}

# what was the master is a replica: nothing is written there
refuses('READONLY', {
    begin => sub {
        $master->cmd('REPLICAOF', '127.0.0.1', $redis->port);
        wait_until(20, sub {
            $master->cmd('EXISTS', 'agent-canary:flag:support');
        }) or die 'no replica';
        $master->cmd('REPLICAOF', 'NO', 'ONE');
        $redis->cmd('REPLICAOF', '127.0.0.1', $master->port);
    },
    end => sub { $redis->cmd('REPLICAOF', 'NO', 'ONE') },
}, qr/\[error\] Redis is lost: (?:READONLY|role "slave")/,
    metric => ['agent_canaryd_up{party="redis"}', 0], while => \&no_trip);

is(join(' ', map { $_->{id} } audit($redis)),
   join(' ', map { "support:$_:0" } 1 .. $epoch - 1), 'every trip, once');
is($sidecar[0]->metric('agent_canaryd_audit_entries_total')
   + $sidecar[1]->metric('agent_canaryd_audit_entries_total'), $epoch - 1,
   'each of them by one of the two');

$traffic->stop;
$master->stop;
$story->end;

#!/usr/bin/env perl

# Processes that are killed at the worst moment: worker 0 while it holds the
# mutex of the zone, at every step of a write, and the cache manager at every
# system call of a save.  Nothing is torn, nobody waits for a lock, no user
# moves, and the state file is the old one or the new one.
# (Rows N2, N9 and N11 of the fault matrix.)

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Process qw(spawn);
use Canary::Story;
use Canary::Util qw(slurp wait_until);

my $story = Canary::Story->new(state => 1, workers => 2);
my $redis = $story->redis;
$redis->flag(support => percent => 50, epoch => 3);
my $nginx = $story->start;
$nginx->wait_flag('support', state => 'ok') or die 'no flag';
my $expected = $story->expected(50, 100);

# Where a write passes while it holds the mutex: before it touches the node,
# and after it gave back the old bytes, with the new ones half in place.
my @steps = qw(ngx_agent_canary_zone_publish canary_known_pack);


# The worker that holds the link to Redis.
sub writer {
    my $status;
    wait_until(20, sub {
        $status = $nginx->status;
        return $status->{worker} == 0 && kill 0, $status->{pid};
    }) or die 'worker 0 does not answer';
    return $status->{pid};
}


# Kills a process when it comes to a function.
sub kill_at {
    my ($pid, $function, $provoke) = @_;
    my $file = $story->dir . "/gdb.$function";
    my $gdb = spawn('gdb', log => "$file.log", code => sub {
        exec 'gdb', '-q', '-batch', '-p', $pid,
            '-ex', 'set breakpoint pending on',
            '-ex', "break $function",
            '-ex', "shell touch $file.ready",
            '-ex', 'continue',
            '-ex', 'kill';
    });

    wait_until(30, sub { -e "$file.ready" }) or return 0;
    $provoke->();
    my $died = wait_until(20, sub { !kill 0, $pid });
    $gdb->wait_end(20);
    return $died && (slurp("$file.log") // '') =~ /Breakpoint 1, /;
}


# -- worker 0, inside the critical section ------------------------------------

my $bundle = 0;

# so that both slots hold something to be freed
for (1 .. 3) {
    $redis->flag(support => bundle_candidate => 'first ' . ++$bundle);
    wait_until(10, sub {
        ($nginx->flag('support')->{bundle}{candidate} // '')
            eq "first $bundle";
    }) or die 'a write is not seen';
}

for my $step (@steps) {
    # only when it holds the link does it write
    wait_until(20, sub { $nginx->status->{redis}{fresh} })
        or die 'the link is not ready';
    my $victim = writer();
    ok(kill_at($victim, $step,
               sub { $redis->flag(support => bundle_candidate => ++$bundle) }),
       "killed in $step");
    ok(wait_until(10, sub {
        my @now = $nginx->workers;
        @now == 2 && !grep { $_ == $victim } @now;
    }), 'there is a new worker');
    $story->arms_are($expected, 'nobody moved');

    $redis->flag(support => bundle_candidate => 'after ' . ++$bundle);
    ok(wait_until(10, sub {
        ($nginx->flag('support')->{bundle}{candidate} // '')
            eq "after $bundle";
    }), 'and the next write is seen: no lock is held');
}


# -- the cache manager, in a save ---------------------------------------------

sub manager {
    return $nginx->processes(qr/^nginx: cache manager process/);
}


# Runs a save under strace with a fault injected.
sub save_with {
    my ($inject, $done) = @_;
    my ($manager) = manager();
    my $file = $story->dir . '/strace.' . ++$bundle;
    my $strace = spawn('strace', log => "$file.log", code => sub {
        exec 'strace', '-f', '-p', $manager, '-o', "$file.out",
            '-e', 'trace=openat,write,fsync,rename',
            '-e', "inject=$inject";
    });

    wait_until(10, sub { (slurp("$file.log") // '') =~ /attached/ })
        or return 0;
    $redis->flag(support => bundle_candidate => "save $bundle");
    my $seen = wait_until(20, sub { $done->($manager) });
    $strace->stop;
    return $seen;
}


sub saved {
    return wait_until(20, sub {
        !$nginx->status->{state_file}{pending};
    });
}


ok(saved(), 'a file to begin with');

for my $call (qw(write fsync rename)) {
    my $whole = slurp($story->state_path);
    my $failures = $nginx->status->{state_file}{failures};

    ok(save_with("$call:error=ENOSPC",
                 sub { $nginx->status->{state_file}{failures} > $failures }),
       "$call() without room on the disk is counted");

    # without write() there is no log either
    ok($call eq 'write'
       || $nginx->wait_log(qr/state file .* not written: $call\(\) failed/),
       'and told');
    ok(saved(), 'with room again the file is written')
        or diag('the old file was ', length $whole, ' bytes');
    $story->arms_are($expected, 'nobody moved');
}

for my $call (qw(openat write fsync rename)) {
    ok(save_with("$call:signal=SIGKILL",
                 sub { my ($manager) = @_; !kill 0, $manager }),
       "killed in $call()");

    my ($text, $status) = $nginx->test;
    like($text, qr/canary\.state": 1 flags/, 'the file is whole')
        or diag($text);
    ok(wait_until(10, \&manager),
       'there is a new cache manager');
    ok(saved(), 'which writes what was not written');
}

is(join(' ', map { s{.*/}{}r } grep { !/\.tmp$/ }
            glob $story->dir . '/state/*'), 'canary.state',
   'one file is left, but for what killed processes began');

$nginx->allow_log(qr/exited on signal 9/);
$nginx->allow_log(qr/shared memory zone .* was locked by/);
$story->end;

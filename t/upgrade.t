#!/usr/bin/env perl

# A new module comes with a new binary: USR2, WINCH, QUIT, and the way back.
# The new nginx starts with memory of its own, so that the flags and the trip
# have to come from the state file, Redis or not.  A reload alone keeps the
# module that runs, whatever its file is by then.  (Rows N6 and N7.)

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Copy qw(copy);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Nginx;
use Canary::Process qw(alive);
use Canary::Story;
use Canary::Util qw(slurp spew wait_until);

my $story = Canary::Story->new(state => 1, workers => 2, daemon => 1);
my $redis = $story->redis;
my $module = $story->dir . '/module.so';
copy(Canary::Nginx::module(), $module) or die "cannot copy the module: $!";
local $ENV{TEST_CANARY_MODULE} = $module;

$redis->flag(support => percent => 50, epoch => 3);
$redis->trip(support => '{"epoch":3,"percent":20,"by":"test"}');
my $nginx = $story->start;
$nginx->wait_flag('support', tripped => 1) or die 'no trip';
ok(wait_until(10, sub { !$nginx->status->{state_file}{pending} }),
   'the state file is written');

my $expected = $story->expected(20);
my $pid_file = $nginx->pid_file;
my $boot_id = $nginx->status->{boot_id};
my $load = $story->load($expected, keepalive => 0, rate => 200);


# Starts the new binary beside the old one; returns its master.
sub upgrade {
    my ($old) = @_;
    $old->signal('USR2');
    my $new = wait_until(15, sub {
        my ($pid) = (slurp($pid_file) // '') =~ /^(\d+)$/m or return;
        $pid != $old->pid && -e "$pid_file.oldbin"
            && workers_of($pid) == 2 && $pid;
    }) or die "no new master\n" . $nginx->log_text;
    return Canary::Process->adopt('new nginx', $new);
}


sub workers_of {
    my ($pid) = @_;
    my @workers = Canary::Nginx::workers({ process => { pid => $pid } });
    return @workers;
}


$redis->freeze;
my $old = $nginx->process;
my $new = upgrade($old);
pass('USR2: a new master');
$story->arms_are($expected, 'both serve');

$old->signal('WINCH');
ok(wait_until(15, sub {
    my @pids = map { $_->[0] } Canary::Process::descendants($old->pid);
    my %of_new = map { $_->[0] => 1 }
        Canary::Process::descendants($new->pid);
    !grep { $_ != $new->pid && !$of_new{$_}
            && (slurp("/proc/$_/cmdline") // '') =~ /worker/ } @pids;
}), 'WINCH: the old workers are gone');
isnt($nginx->status->{boot_id}, $boot_id, 'the new one has its own boot_id');
ok($nginx->flag('support')->{tripped}, 'and the trip');
$story->arms_are($expected, 'the new one serves, without Redis');

# back to the old one
$old->signal('HUP');
ok(wait_until(15, sub {
    my %of_new = map { $_ => 1 } workers_of($new->pid);
    2 == grep { !$of_new{$_} } workers_of($old->pid);
}), 'HUP: the old master has workers again');
$new->signal('QUIT');
ok(wait_until(15, sub { !alive($new) }), 'QUIT: the new one leaves');
ok(wait_until(10, sub { !-e "$pid_file.oldbin" }), 'its pid file, too');
is($nginx->status->{boot_id}, $boot_id, 'the old one, with its memory');
$story->arms_are($expected, 'serves');

# and forward for good
$new = upgrade($old);
is($old->stop('QUIT'), 0, 'QUIT: the old one leaves');
$nginx->{process} = $new;
$redis->thaw;
ok($nginx->wait_redis('ready'), 'Redis is back');
$story->arms_are($expected, 'the new one serves');
$story->end_load($load, 'all of it');

$redis->flag(support => epoch => 4);
ok($nginx->wait_flag('support', epoch => 4), 'and it obeys');
$story->arms_are($story->expected(50), 'a higher epoch');


# -- a module file that was replaced ------------------------------------------

rename $module, "$module.old" or die "rename: $!";
spew($module, 'no module at all');
$boot_id = $nginx->status->{boot_id};
$load = $story->load($story->expected(50), keepalive => 0, rate => 200);
$nginx->reload or die "reload $_ did not end" for 1 .. 3;
is($nginx->status->{boot_id}, $boot_id, 'a reload keeps the module that runs');
$redis->flag(support => bundle_candidate => 'reloaded');
ok(wait_until(5, sub {
    $nginx->flag('support')->{bundle}{candidate} eq 'reloaded';
}), 'which goes on obeying');
$story->end_load($load, 'a replaced module');
my ($said) = $nginx->test;
like($said, qr/\[emerg\] dlopen\(\)/, 'only nginx -t looks at the file');
$nginx->allow_log(qr/\[emerg\].* dlopen\(\)/);
$story->end;

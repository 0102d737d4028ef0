#!/usr/bin/env perl

# The unit in conf/ and what belongs to it: systemd takes them as they are,
# and the sandbox has room for all that agent-canaryd does.  That its command
# guards the nginx of the examples is for conf.t.

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Path qw(make_path);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Process qw(descendants);
use Canary::Sidecar;
use Canary::Util qw(command_output root slurp spew wait_until);
use Canary::Watch;

my $watch = Canary::Watch->new;
my $dir = $watch->dir;
my $conf = root() . '/conf';
my $unit = slurp("$conf/agent-canaryd.service");


# -- what systemd says --------------------------------------------------------

my $here = Canary::Sidecar::binary();
spew("$dir/agent-canaryd.service",
     $unit =~ s{/usr/sbin/agent-canaryd(?= )}{$here}r);

my ($said, $status) = command_output('systemd-analyze', 'verify',
                                     "$dir/agent-canaryd.service");
is($status, 0, 'systemd-analyze verify') or diag($said);
is($said, '', 'and no word of it');

($said, $status) = command_output('systemd-analyze', 'security', '--no-pager',
    '--offline=true', '--threshold=20', "$dir/agent-canaryd.service");
is($status, 0, 'systemd-analyze security: an exposure of 2.0 at most')
    or diag($said);

make_path("$dir/root/etc");
($said, $status) = command_output('systemd-sysusers', "--root=$dir/root",
                                  "$conf/agent-canary.sysusers");
is($status, 0, 'systemd-sysusers') or diag($said);
my ($group) = slurp("$dir/root/etc/group") =~ /^agent-canary:x:(\d+):$/m;
ok($group, 'makes a group');
like($unit, qr/^User=agent-canary$/m, 'that of the unit');

# who is not root cannot give a directory away
if ($> == 0) {
    ($said, $status) = command_output('systemd-tmpfiles', "--root=$dir/root",
        '--create', "$conf/agent-canary.tmpfiles");
    is($status, 0, 'systemd-tmpfiles') or diag($said);
    my @stat = stat "$dir/root/run/agent-canary";
    is(sprintf('%o %d %d', $stat[2] & 07777, @stat[4, 5]), "750 0 $group",
       'makes a directory that the group may pass');
}


# -- what the sandbox has to let through --------------------------------------

# The system calls of a set, with those of the sets in it.
sub set {
    my ($name) = @_;
    my ($text) = command_output('systemd-analyze', '--no-pager',
                                'syscall-filter', $name);
    my (undef, @lines) = split /\n\s*/, $text;
    return map { /^\@/ ? set($_) : $_ } grep { /^\@?[\w-]+$/ } @lines;
}


my %allowed;

for ($unit =~ /^SystemCallFilter=(.*)/mg) {
    my $not = s/^~//;
    my @calls = map { set($_) } split;
    ok(@calls > 10, "$_: a set") or diag("@calls");
    $not ? delete @allowed{@calls} : (@allowed{@calls} = ());
}

ok(!exists $allowed{mount} && !exists $allowed{setuid}
   && exists $allowed{connect}, 'the sets are read rightly');

# a sanitizer does things of its own, and cannot be traced
if (!$ENV{ASAN_OPTIONS}) {
    my $nginx = $watch->nginx(b => 60, c => 60);
    my $webhook = $watch->webhook;
    my $sidecar = $watch->new_sidecar('one', nginx => $nginx,
        redis_url => 'redis://localhost:' . $watch->redis->port,
        options => ['--webhook', $webhook->url]);

    $sidecar->launch('strace', '-f', '-qq', '-o', "$dir/calls");
    ok(wait_until(30, sub { $sidecar->healthy }), 'one that is traced')
        or diag($sidecar->log_text);
    my ($pid) = map { $_->[0] } grep { $_->[1] =~ /^agent-canaryd/ }
        descendants($sidecar->process->pid);
    kill 'HUP', $pid;
    ok($sidecar->wait_log(qr/the secrets were read again/), 'reads secrets');
    $nginx->set(err => 1);
    $watch->tripped(1, 'trips');
    ok(wait_until(10, sub { $webhook->calls }), 'calls a webhook');
    kill 'TERM', $pid;
    is($sidecar->process->wait_end(20), 0, 'and ends');

    # only what it does once it runs: systemd itself starts it
    my $trace = slurp("$dir/calls");
    $trace =~ s/\A.*? execve\(.*?\n//;
    my %called = map { $_ => 1 } $trace =~ /^\d+ +(\w+)\(/mg;
    ok($called{sendto} || $called{sendmsg}, 'the trace has what it did');
    is(join(' ', grep { !exists $allowed{$_} } sort keys %called), '',
       'it calls nothing that the unit forbids');

    my ($families) = $unit =~ /^RestrictAddressFamilies=(.*)/m;
    my %family = map { $_ => 1 } split ' ', $families;
    my %used = map { $_ => 1 } $trace =~ /^\d+ +socket\((\w+),/mg;
    is(join(' ', grep { !$family{$_} && $_ ne 'AF_NETLINK' } sort keys %used),
       '', 'and opens no other sockets; but for the names of hosts');
}

$watch->end;

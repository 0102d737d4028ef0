#!/usr/bin/env perl

# How agent-canaryd gets on with whoever starts it: options and files are
# checked, systemd hears what it wants to, SIGHUP reads the files of secrets
# again, and SIGTERM ends it at once, whoever hangs.

use strict;
use warnings;

use File::Basename qw(dirname);
use IO::Select;
use IO::Socket::UNIX;
use Socket qw(SOCK_DGRAM);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Util qw(command_output slurp spew wait_until);
use Canary::Watch;

my $watch = Canary::Watch->new;
my $dir = $watch->dir;
my $password = "$dir/redis.pass";
my $nginx = $watch->nginx(b => 60, c => 20);

my $systemd = IO::Socket::UNIX->new(Type => SOCK_DGRAM,
                                    Local => "$dir/notify") or die "$!";


# What systemd was told since the last time, once the pattern is in it.
sub told {
    my ($pattern) = @_;
    my $all = '';

    wait_until(10, sub {
        while (IO::Select->new($systemd)->can_read(0)) {
            $systemd->recv(my $message, 4096) // last;
            $all .= "$message\n";
        }
        $all =~ $pattern;
    });
    return $all;
}


# -- options and files --------------------------------------------------------

my $sidecar = $watch->new_sidecar('one', nginx => $nginx,
                                  env => { NOTIFY_SOCKET => "$dir/notify" });

my ($text, $status) = command_output($sidecar->command, '-t');
is($status, 0, '-t: fine');
like($text, qr/options and files are fine/, 'and says so');
ok(!-e $sidecar->state_path, 'nothing was started');

my $homeless = $watch->new_sidecar('homeless', nginx => $nginx, state => 0,
                                   options => ['--state', "$dir/gone/state"]);
($text, $status) = command_output($homeless->command, '-t');
is($status >> 8, 1, '-t: a state file that cannot be written');
like($text, qr{--state "\Q$dir\E/gone/state": expected a file in a directory},
     'which is quoted');

($text, $status) = command_output($sidecar->command, '--intervall', '1s');
is($status >> 8, 2, 'a bad option is a usage error');
like($text, qr/option "--intervall": expected one of those that --help/,
     'which is quoted');

# the first line of the log names this URL
($text, $status) = command_output(Canary::Sidecar::binary(), '-t', '--nginx',
    'http://ann:pw-of-ann@127.0.0.1/', '--redis', 'redis://127.0.0.1');
is($status >> 8, 2, 'a password for nginx is a usage error');
like($text, qr{--nginx "http://\.\.\.\@127\.0\.0\.1/": expected no user},
     'which says so');
unlike($text, qr/ann|pw/, 'and does not tell it');

# [what, what is in the file, its mode, the message]
for my $case (['open to all', "x\n", 0644, qr/others may not read it/],
              ['empty', '', 0600, qr/expected one line that is not empty/],
              ['long', 'x' x 2000, 0600, qr/up to 1024 bytes/])
{
    my ($what, $content, $mode, $message) = @$case;
    spew("$dir/bad", $content);
    chmod $mode, "$dir/bad";
    ($text, $status) = command_output($sidecar->command, '-t', '--webhook',
        'http://127.0.0.1:1/', '--webhook-secret-file', "$dir/bad");
    is($status >> 8, 1, "a secret that is $what: refused");
    like($text, $message, "$what: with a reason");
    like($text, qr{file "\Q$dir/bad\E"}, "$what: and the name");
}

($text, $status) = command_output($sidecar->command, '--webhook',
    'http://127.0.0.1:1/', '--webhook-secret-file', "$dir/none");
is($status >> 8, 1, 'one that is not there: no start');
like($text, qr/No such file/, 'with a reason');


# -- readiness ----------------------------------------------------------------

$sidecar->start;
like(told(qr/WATCHDOG=1/), qr/\AREADY=1\nWATCHDOG=1\n/,
     'ready, and alive after that');


# -- a state file that cannot be written --------------------------------------

$homeless->start;
ok($homeless->wait_log(
    qr{\[error\] the state file is not written: .*"\Q$dir\E/gone/state"}),
   'a state file that cannot be written') or diag($homeless->log_text);
($text) = command_output($homeless->command);
is($text, 'agent-canaryd: --listen "' . $homeless->listens
   . "\": Address already in use\n", 'another one cannot listen there');
mkdir "$dir/gone";
ok($homeless->wait_log(qr/\[info\] the state file is written\n/, 20),
   'and can be again');
is($homeless->stop, 0, 'it ends');


# -- SIGHUP -------------------------------------------------------------------

# a new password, while the old connection goes on
$watch->redis->cmd('ACL', 'SETUSER', 'canary-sidecar', '>pw-two');
spew($password, "pw-two\n");
told(qr/./);
$sidecar->process->signal('HUP');
ok($sidecar->wait_log(qr/the secrets were read again/), 'SIGHUP');
my $all = told(qr/READY=1/);
like($all, qr/^RELOADING=1\nMONOTONIC_USEC=\d+\n(?:.*\n)*READY=1$/m,
     'systemd hears of it, and of its end');
$watch->redis->cmd('ACL', 'SETUSER', 'canary-sidecar', '<of-the-story');
$watch->redis->cmd('CLIENT', 'KILL', 'USER', 'canary-sidecar');
ok($sidecar->exchanges('redis', 2), 'the new password is taken')
    or diag($sidecar->log_text);

# a file that is bad changes nothing
chmod 0644, $password;
$sidecar->process->signal('HUP');
ok($sidecar->wait_log(
    qr/file "\Q$password\E": expected that others.*; the ones before stay/),
   'SIGHUP with a bad file');
$watch->redis->cmd('CLIENT', 'KILL', 'USER', 'canary-sidecar');
ok($sidecar->exchanges('redis', 2), 'the one before stays');

# without SIGHUP a changed password is a reason that is told
chmod 0600, $password;
$watch->redis->cmd('ACL', 'SETUSER', 'canary-sidecar', '<pw-two', '>pw-three');
$watch->redis->cmd('CLIENT', 'KILL', 'USER', 'canary-sidecar');
my $there = '127.0.0.1:' . $watch->redis->port;
ok($sidecar->wait_log(
    qr/Redis is lost(?:, still)?: AUTH "WRONGPASS.* \(\Q$there\E\)$/m),
   'a password that is not right any more');
spew($password, "pw-three\n");
$sidecar->process->signal('HUP');
ok($sidecar->exchanges('redis', 2), 'is mended while it runs');
unlike($sidecar->log_text, qr/of-the-story|pw-/,
       'the log tells no password');


# -- SIGTERM ------------------------------------------------------------------

told(qr/./);
is($sidecar->stop, 0, 'SIGTERM');
like(told(qr/STOPPING=1/), qr/STOPPING=1/, 'systemd hears of it');
like($sidecar->log_text, qr/stopped\n\z/, 'the log, too');
ok(-s $sidecar->state_path, 'the state is saved');

$sidecar->start;
$nginx->set(status => 'hang');
ok(wait_until(10, sub { $nginx->state->{hanging} }), 'nginx hangs');
$watch->redis->freeze;
ok($sidecar->wait_metric('agent_canaryd_up{party="redis"}', 0),
   'and so does Redis');
my $before = slurp($sidecar->state_path);
$sidecar->process->signal('INT');
is($sidecar->process->wait_end(10), 0, 'SIGINT ends it all the same');
isnt(slurp($sidecar->state_path), $before, 'with its state saved');
$watch->redis->thaw;

$watch->end;

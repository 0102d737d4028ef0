#!/usr/bin/env perl

# Who reads the log may hang, as a terminal or a pipe can: lines are lost then,
# and nothing else.

use strict;
use warnings;

use Fcntl qw(O_NONBLOCK O_RDWR);
use File::Basename qw(dirname);
use POSIX qw(mkfifo);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Guard qw(guard_story rolled_back settled);
use Canary::Sidecar;
use Canary::Util qw(spew wait_until);

my $story = guard_story();
my $pipe = $story->dir . '/log.pipe';
my $program = Canary::Sidecar::binary();

mkfifo($pipe, 0600) or die "mkfifo: $!";
sysopen my $log, $pipe, O_RDWR | O_NONBLOCK or die "$pipe: $!";
my $full = 0;
$full += $_ while $_ = syswrite $log, 'x' x 4_096;
cmp_ok($full, '>', 0, 'nobody reads the log, and it is full');

spew("$pipe.sh", "#!/bin/sh\nexec 2>$pipe\nexec $program \"\$@\"\n");
chmod 0700, "$pipe.sh";
$ENV{AGENT_CANARYD} = "$pipe.sh";

$story->redis->flag(support => percent => 50, epoch => 1);
my $nginx = $story->start;
my $sidecar = $story->sidecar('guard-a');
my $traffic = $story->traffic(rate => 200);
settled($nginx, 60, 'the sidecar is there, and all is well');

rolled_back($story, 'a full log', sub {
    $story->agent('candidate')->set('error-rate=1');
}, metric => 'error_rate');

cmp_ok($sidecar->metric('agent_canaryd_log_lines_lost_total'), '>', 0,
       'what was lost is counted');

# it reads again
1 while sysread $log, my $bytes, 65_536;
$sidecar->process->signal('HUP');
my $line = '';
ok(wait_until(5, sub {
    sysread $log, $line, 65_536, length $line;
    $line =~ /\[info\] the secrets were read again\n/;
}), 'the next line is there') or diag($line);

$traffic->stop;
$story->end;

package Canary::Process;

# Processes that a test starts.  None outlives the test, whatever happens to
# it: children die with it, and what they leave behind is handed to the test
# (it is made a "subreaper"), found and ended, by its pid and never by a name.

use strict;
use warnings;

use Config;
use Exporter qw(import);
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(time);

use Canary::Util qw(pause slow);

our @EXPORT_OK = qw(alive descendants spawn);

use constant {
    PR_SET_PDEATHSIG       => 1,
    PR_SET_CHILD_SUBREAPER => 36,
    SIGKILL                => 9,
};

my $prctl = $Config{archname} =~ /aarch64/ ? 167 : 157;
my $owner = $$;
my %status;                                 # of children that ended
my %started;                                # pid => name, not ended yet

syscall($prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);

$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);


# spawn(name, log => file, command => [...] or code => sub, env => {...})
sub spawn {
    my ($name, %how) = @_;
    my $pid = fork;
    die "fork: $!" if !defined $pid;

    if (!$pid) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
        syscall($prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        redirect($how{log} // '/dev/null');
        $ENV{$_} = $how{env}{$_} for keys %{ $how{env} // {} };
        exec { $how{command}[0] } @{ $how{command} } if $how{command};
        eval { $how{code}->(); 1 } or print STDERR $@ || "cannot run: $!\n";
        POSIX::_exit($@ || $how{command} ? 127 : 0);
    }

    $started{$pid} = $name;
    return bless { pid => $pid, name => $name }, __PACKAGE__;
}


# A process that one of ours has started, and that may become ours.
sub adopt {
    my ($class, $name, $pid) = @_;
    return bless { pid => $pid, name => $name }, $class;
}


sub redirect {
    my ($log) = @_;
    open STDIN, '<', '/dev/null';
    open STDOUT, '>>', $log;
    open STDERR, '>&', \*STDOUT;
}


sub pid { return $_[0]{pid} }


sub reap {
    while ((my $pid = waitpid -1, WNOHANG) > 0) {
        $status{$pid} = $?;
        delete $started{$pid};
    }
}


# Whether the process runs; a process that ended but was not waited for is
# dead.
sub alive {
    my ($process) = @_;
    my $pid = ref $process ? $process->{pid} : $process;
    reap();
    return 0 if exists $status{$pid};
    open my $in, '<', "/proc/$pid/stat" or return 0;
    return (<$in> // '') !~ /\) [ZX]/;
}


sub signal {
    my ($process, $signal) = @_;
    kill $signal, $process->{pid} if alive($process);
}


# The wait status, or nothing when the process still runs after that time.
sub wait_end {
    my ($process, $seconds) = @_;
    my $pid = $process->{pid};
    my $deadline = time + $seconds * slow();

    # not by alive(): a process whose threads still end is a zombie in /proc
    # before it can be waited for
    reap();

    while (!exists $status{$pid}) {
        return if time > $deadline;
        pause();
        reap();
    }

    return $status{$pid};
}


# Asks a process to end, insists after some seconds.  Returns its status, or
# -1 when it had to be killed.
sub stop {
    my ($process, $signal, $seconds) = @_;
    $process->signal($signal // 'TERM');

    my $status = $process->wait_end($seconds // 10);
    return $status if defined $status;

    $process->signal('CONT');
    $process->signal('KILL');
    $process->wait_end(10);
    return -1;
}


# Every living process below this one or the given ones: [pid, command].
sub descendants {
    my @roots = @_ ? @_ : ($$);
    my (%children, %command);

    reap();
    opendir my $proc, '/proc' or return;

    for my $pid (grep { /^\d+$/ } readdir $proc) {
        open my $in, '<', "/proc/$pid/stat" or next;
        my ($command, $state, $parent) = (<$in> // '')
            =~ /^\d+ \((.*)\) (\S) (\d+)/s or next;
        next if $state =~ /[ZX]/;
        push @{ $children{$parent} }, $pid;
        $command{$pid} = $command;
    }

    my (@found, %seen);
    my @next = @roots;

    while (defined(my $pid = shift @next)) {
        my @new = grep { !$seen{$_}++ } @{ $children{$pid} // [] };
        push @found, map { [$_, $command{$_}] } @new;
        push @next, @new;
    }

    return @found;
}


# Ends what is left; by then a test has failed or has counted it.
sub end_all {
    for my $round (1 .. 50) {
        my @left = descendants() or last;
        kill 'CONT', map { $_->[0] } @left;
        kill 'KILL', map { $_->[0] } @left;
        pause();
    }
}


END {
    if ($$ == $owner) {
        my $code = $?;
        end_all();
        $? = $code;
    }
}


1;

package Bench;

# What the parts of the benchmark share: its programs, its tables, its few
# statistics, and what the kernel knows of a process.

use strict;
use warnings;

use Exporter qw(import);
use File::Path qw(make_path);
use List::Util qw(max sum0);
use POSIX ();

use Canary::Util qw(command_output root slurp);

our @EXPORT_OK = qw(at_least at_most below begin cpu_time descriptors load
                    memory median missed on_cpu output percentile program
                    resident say_table slope verdict);

use constant CLOCK_GETTIME => { x86_64 => 228, aarch64 => 113 };

my $dir = root() . '/build/bench';
my @cpus = cpus();
my $report;


# -- the report ---------------------------------------------------------------

# What follows is shown, and stored as build/bench/<part>.txt.
sub begin {
    my ($part) = @_;

    make_path($dir);
    open $report, '>', "$dir/$part.txt" or die "cannot write: $!\n";
    $report->autoflush(1);
}


sub output {
    my ($text) = @_;

    print $text;
    print {$report} $text;
}


# say_table(title, [heads], [cells], ...): the first column is of words, the
# others are of figures; the heads may all be empty
sub say_table {
    my ($title, @rows) = @_;
    my @width;

    for my $row (@rows) {
        $width[$_] = max($width[$_] // 0, length $row->[$_]) for 0 .. $#$row;
    }

    my $format = join '  ', "%-$width[0]s", map { "%${_}s" } @width[1 .. $#width];

    output("\n$title\n\n");

    for my $row (grep { join('', @$_) ne '' } @rows) {
        my @cells = (@$row, ('') x (@width - @$row));
        output(sprintf("  $format", @cells) =~ s/\s+$//r . "\n");
    }
}


# -- goals --------------------------------------------------------------------

my $missed = 0;

# The word for a goal that is met, or not; the latter are counted.
sub verdict {
    my ($met) = @_;

    $missed++ if !$met;
    return $met ? 'ok' : 'MISSED';
}


sub missed { return $missed }
sub at_least { return verdict($_[0] >= $_[1]) }
sub at_most { return verdict($_[0] <= $_[1]) }
sub below { return verdict($_[0] < $_[1]) }


# -- statistics ---------------------------------------------------------------

# The value below or at which that percentage of all values is.
sub percentile {
    my ($percent, @values) = @_;
    my @sorted = sort { $a <=> $b } @values;
    my $rank = int($percent / 100 * @sorted + 0.999999);

    return $sorted[max($rank, 1) - 1];
}


sub median {
    my (@values) = @_;
    my @sorted = sort { $a <=> $b } @values;

    return ($sorted[$#sorted / 2] + $sorted[@sorted / 2]) / 2;
}


# The growth from one value to the next, by least squares.
sub slope {
    my (@values) = @_;
    my $middle = $#values / 2;
    my $mean = sum0(@values) / @values;
    my ($above, $below) = (0, 0);

    for my $i (0 .. $#values) {
        $above += ($i - $middle) * ($values[$i] - $mean);
        $below += ($i - $middle) ** 2;
    }

    return $below ? $above / $below : 0;
}


# -- processes ----------------------------------------------------------------

# The helper of that name, built when a source is newer.  uses: the sources of
# the product in it, as "canary/*"; it is compiled as they are shipped then.
sub program {
    my ($name, @uses) = @_;
    my $root = root();
    my @sources = ("$root/bench/$name.c", map { glob "$root/$_.c" } @uses);
    my @headers = (glob("$root/bench/*.h"),
                   @uses ? glob "$root/canary/*.h $root/sidecar/*.h" : ());
    my @flags = @uses ? ('-O3', '-flto', "-I$root/canary", "-I$root/sidecar")
              : ('-O2');
    my @libraries = @uses ? ('-ljansson', '-lm') : ('-lm');
    my $binary = "$dir/$name";

    make_path($dir);

    if (!-e $binary || grep { -M $binary > -M } @sources, @headers) {
        my ($text, $status) = command_output($ENV{CC} // 'cc', '-std=gnu11',
            @flags, '-Wall', '-Wextra', '-o', $binary, @sources, @libraries);
        die "cannot build $name:\n$text" if $status;
    }

    return $binary;
}


# The CPUs that this process may use.
sub cpus {
    my ($list) = slurp('/proc/self/status') =~ /^Cpus_allowed_list:\s*(\S+)/m;

    return map { /(\d+)-(\d+)/ ? ($1 .. $2) : $_ } split /,/, $list;
}


# The words that bind a command to the first or the second CPU; none when
# there is only one.
sub on_cpu {
    my ($n) = @_;
    return @cpus > 1 ? ('taskset', '-c', $cpus[$n]) : ();
}


# Sends that many requests to the port; returns the share that the candidate
# answered.
sub load {
    my ($port, $connections, $requests, @path) = @_;
    my ($text, $status) = command_output(on_cpu(0), program('load'),
                                         $port, $connections, $requests,
                                         @path);

    die "the load failed: $text\n" if $status;
    return $text / $requests;
}


# Seconds that the process has computed, its own and the kernel's for it: the
# sum of utime and stime, but in nanoseconds instead of clock ticks.
sub cpu_time {
    my ($pid) = @_;
    my $time = "\0" x 16;
    my ($machine) = (POSIX::uname())[4];

    syscall(CLOCK_GETTIME->{$machine}, ~$pid << 3 | 2, $time) == 0
        or die "cannot read the CPU time of $pid: $!\n";

    my ($seconds, $nanoseconds) = unpack 'q2', $time;
    return $seconds + $nanoseconds / 1e9;
}


# Kilobytes of the process that no file and no other process backs.
sub memory { return kilobytes($_[0], 'RssAnon') }

# All that is in memory of it.
sub resident { return kilobytes($_[0], 'VmRSS') }


sub kilobytes {
    my ($pid, $of) = @_;
    my ($kb) = (slurp("/proc/$pid/status") // '') =~ /^$of:\s+(\d+) kB/m
        or die "cannot read the memory of $pid\n";

    return $kb;
}


sub descriptors {
    my ($pid) = @_;
    my @open = glob "/proc/$pid/fd/*";

    return scalar @open;
}


1;

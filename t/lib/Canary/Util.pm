package Canary::Util;

# The small things every other part of the harness needs: files, ports that
# nobody else takes, and waiting for a condition instead of for a time.

use strict;
use warnings;

use Exporter qw(import);
use Fcntl qw(:flock);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use File::Spec;
use IO::Socket::INET;
use Time::HiRes qw(time);

our @EXPORT_OK = qw(certificate command_output free_port helper pause root
                    slow slurp spew wait_until);

my $root = File::Spec->rel2abs(dirname(__FILE__) . '/../../..');
$root =~ s{/t/lib/Canary/\.\./\.\./\.\.$}{};


sub root { return $root }


# Sanitizers make everything slower: deadlines, never the conditions, grow.
sub slow { return $ENV{TEST_CANARY_SLOW} || 1 }


sub slurp {
    my ($path) = @_;
    open my $in, '<:raw', $path or return;
    local $/;
    return scalar(<$in>) // '';
}


sub spew {
    my ($path, $bytes) = @_;
    open my $out, '>:raw', $path or die "cannot write $path: $!";
    print {$out} $bytes;
    close $out or die "cannot write $path: $!";
}


# Runs a command without a shell; its output, also stderr, and its status.
sub command_output {
    my (@command) = @_;
    my $pid = open my $out, '-|';
    die "fork: $!" if !defined $pid;

    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        open STDIN, '<', File::Spec->devnull;
        require POSIX;
        exec { $command[0] } @command or POSIX::_exit(127);
    }

    local $/;
    my $text = <$out> // '';
    close $out;
    return wantarray ? ($text, $?) : $text;
}


# Builds a helper of t/util once, with what cc needs for it; tests that run at
# the same time may all try.
sub helper {
    my ($source, $name, @options) = @_;
    my $helper = root() . "/build/t/$name";
    $source = root() . "/t/util/$source";

    return $helper if -x $helper && -M $helper <= -M $source;

    make_path(root() . '/build/t');
    my ($text, $status) = command_output('cc', '-O1', '-Wall', '-o',
                                         "$helper.$$", $source, @options);
    die "cannot build $helper:\n$text" if $status;
    rename "$helper.$$", $helper or die "rename: $!";
    return $helper;
}


# A key and a certificate of its own for "localhost": DIR/tls.key, DIR/tls.crt.
sub certificate {
    my ($dir) = @_;
    my ($text, $status) = command_output('openssl', 'req', '-x509', '-nodes',
        '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
        '-days', '2', '-subj', '/CN=localhost',
        '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1',
        '-keyout', "$dir/tls.key", '-out', "$dir/tls.crt");
    die "openssl: $text" if $status;
}


# One step of polling.
sub pause {
    my ($seconds) = @_;
    select undef, undef, undef, $seconds // 0.01;
}


# The true value of the condition, or nothing when the time is over.  Who
# waits a thousand times looks more often than every hundredth of a second.
sub wait_until {
    my ($seconds, $condition, $step) = @_;
    my $deadline = time + $seconds * slow();

    while (1) {
        my $value = $condition->();
        return $value if $value;
        return if time > $deadline;
        pause($step);
    }
}


# Below the ports the kernel gives to clients, and locked for as long as this
# test runs, so that tests that run at the same time cannot meet.
my %port_lock;

sub free_port {
    my $dir = "$root/build/t/ports";
    make_path($dir);

    for my $try (0 .. 9_999) {
        my $port = 20_000 + ($$ * 37 + $try) % 10_000;
        next if $port_lock{$port};

        open my $lock, '>', "$dir/$port" or die "cannot write $dir/$port: $!";
        next if !flock $lock, LOCK_EX | LOCK_NB;
        next if !IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1,
                                       LocalPort => $port, ReuseAddr => 1);

        $port_lock{$port} = $lock;
        return $port;
    }

    die "no free port\n";
}


1;

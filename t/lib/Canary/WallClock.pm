package Canary::WallClock;

# The wall clock of one program, which a test can step while it runs.

use strict;
use warnings;

use Canary::Util qw(command_output root spew);

my $library;


# new(dir => ..., name => ...)
sub new {
    my ($class, %how) = @_;
    my $self = bless { file => "$how{dir}/$how{name}.clock" }, $class;
    $library //= build("$how{dir}/wall_clock.so");

    spew($self->{file}, pack 'q', 0);
    return $self;
}


sub build {
    my ($to) = @_;
    my ($text, $status) = command_output('gcc', '-O1', '-Wall', '-Werror',
        '-shared', '-fPIC', root() . '/t/lib/wall_clock.c', '-o', $to);
    die "gcc: $text" if $status;
    return $to;
}


# What the program has to be started with.
sub env {
    my ($self) = @_;
    my %env = (LD_PRELOAD => $library, WALL_CLOCK => $self->{file});

    # a sanitizer wants to be the first, but need not
    $env{ASAN_OPTIONS} = "$ENV{ASAN_OPTIONS}:verify_asan_link_order=0"
        if $ENV{ASAN_OPTIONS};
    return \%env;
}


# Seconds ahead of the real one, from now on.
sub step {
    my ($self, $seconds) = @_;
    open my $out, '+<:raw', $self->{file} or die "$self->{file}: $!";
    syswrite $out, pack 'q', $seconds;
    $self->{step} = $seconds;
    return $self;
}


# The time of it.
sub now { return time + ($_[0]{step} // 0) }


1;

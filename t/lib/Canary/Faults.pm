package Canary::Faults;

# Faults inside of a process that is started with them: allocations that fail
# one by one, and a wall clock that jumps.  See t/util/faults.c.
#
#     my $faults = Canary::Faults->new(dir => ...);
#     $faults->with(sub { $story->start });
#     $faults->arm($pid, 3);                # the third allocation fails
#     $faults->clock(-86_400);

use strict;
use warnings;

use Canary::Util qw(helper spew);

my %at = (pid => 0, countdown => 1, on => 2, failed => 3, clock => 4,
          ticks => 5);


sub new {
    my ($class, %how) = @_;
    my $self = bless { path => "$how{dir}/faults" }, $class;
    spew($self->{path}, pack 'q*', (0) x keys %at);
    $self->{library} = helper('faults.c', 'faults.so', '-shared', '-fPIC');
    open $self->{file}, '+<:raw', $self->{path}
        or die "cannot open $self->{path}: $!";
    return $self;
}


# Whatever is started meanwhile has them.
sub with {
    my ($self, $start) = @_;
    local $ENV{LD_PRELOAD} = $self->{library};
    local $ENV{CANARY_FAULTS} = $self->{path};
    return $start->();
}


sub set {
    my ($self, $name, $value) = @_;
    sysseek $self->{file}, 8 * $at{$name}, 0;
    syswrite $self->{file}, pack 'q', $value;
}


sub get {
    my ($self, $name) = @_;
    sysseek $self->{file}, 8 * $at{$name}, 0;
    sysread $self->{file}, my $bytes, 8;
    return unpack 'q', $bytes;
}


# The nth allocation of this process fails, with $on all after it as well.
sub arm {
    my ($self, $pid, $n, $on) = @_;
    $self->set(countdown => 0);
    $self->set(failed => 0);
    $self->set(pid => $pid);
    $self->set(on => $on ? 1 : 0);
    $self->set(countdown => $n);
}


# No more of them; how many have failed.
sub disarm {
    my ($self) = @_;
    $self->set(countdown => 0);
    return $self->get('failed');
}


# The wall clock, and those that only go forward, by so many seconds.
sub clock { return $_[0]->set(clock => $_[1]) }
sub ticks { return $_[0]->set(ticks => $_[1]) }


1;

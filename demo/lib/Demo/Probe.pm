package Demo::Probe;

# How long until every worker obeys?  One kept connection to each of them, and
# a user whose side is about to change.

use strict;
use warnings;

use IO::Select;
use Time::HiRes qw(time);

use Canary::HTTP ();
use Canary::Util qw(pause);


sub new {
    my ($class, %how) = @_;
    my $self = bless { address => $how{address}, requests => 0, failed => 0,
                       connection => {} }, $class;

    # The kernel deals out connections as it likes: open more until each
    # worker has one.
    for my $try (1 .. 1000) {
        last if keys %{ $self->{connection} } == $how{workers};
        my $c = { socket => Canary::HTTP::connect_to($how{address}) };
        my $answer = $self->answers([$c], 'nobody', sub { 1 }, 5);
        $self->{connection}{ $c->{worker} } //= $c if $answer;
    }

    die "not every worker could be reached\n"
        if keys %{ $self->{connection} } != $how{workers};
    return $self;
}


# Calls change->() and returns after how many seconds all workers sent the user
# to that arm, or nothing.  The answers count, not only the decisions.
sub obeyed {
    my ($self, %how) = @_;
    my $began = time;

    $how{change}->();
    $self->answers([values %{ $self->{connection} }], $how{user},
                   sub { $_[0] eq $how{arm} }, $how{seconds} // 10) or return;
    return time - $began;
}


# Asks on all connections, again and again, until each had its right answer.
sub answers {
    my ($self, $connections, $user, $right, $seconds) = @_;
    my $deadline = time + $seconds;
    my $bytes = Canary::HTTP::message('GET', '/', undef, 'X-User-Id' => $user);
    my %open = map { fileno $_->{socket} => $_ } @$connections;
    my $select = IO::Select->new(map { $_->{socket} } @$connections);
    my $rounds = 0;

    local $SIG{PIPE} = 'IGNORE';
    my $send = sub {
        my ($c) = @_;
        $c->{in} = '';
        syswrite $c->{socket}, $bytes;
    };

    $send->($_) for @$connections;

    while (%open && time < $deadline) {
        for my $socket ($select->can_read(0.1)) {
            my $c = $open{ fileno $socket };
            my $n = sysread $socket, $c->{in}, 65_536, length $c->{in};

            next if !defined $n && $!{EAGAIN};
            return if !$n;
            my $answer = Canary::HTTP::parse(\$c->{in}, 0) or next;

            $self->{requests}++;
            $self->{failed}++ if $answer->{status} != 200;
            $c->{worker} = $answer->{headers}{'x-worker'} // '';

            if ($right->($answer->{headers}{'x-agent'} // '')) {
                delete $open{ fileno $socket };
                $select->remove($socket);
            } else {
                $send->($c);
            }
        }

        # a change that takes longer than an instant leaves others some time
        pause(0.001) if $rounds++ > 200;
    }

    return !%open;
}


1;

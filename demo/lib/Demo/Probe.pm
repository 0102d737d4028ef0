package Demo::Probe;

# When does each worker obey?  One kept connection to each of them, and a user
# whose side is about to change.

use strict;
use warnings;

use IO::Select;
use JSON::PP qw(decode_json);
use List::Util qw(max min);
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
        my $answer = $self->answers(
            connections => [$c], path => '/', seconds => 5,
            right => sub { $c->{worker} = $_[0]{headers}{'x-worker'} // '' });
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
    $self->answers(
        path => '/', user => $how{user}, seconds => $how{seconds} // 10,
        right => sub { ($_[0]{headers}{'x-agent'} // '') eq $how{arm} })
        or return;
    return time - $began;
}


# When the first worker sent the user to that arm and when the last did, or
# nothing.  They are asked to explain themselves: no agent sees a request.
sub decided {
    my ($self, %how) = @_;
    my %at;

    $self->answers(
        path => "/canary/explain?flag=support&key=$how{user}", calm => 1,
        seconds => $how{seconds},
        right => sub {
            my ($answer, $worker) = @_;
            my $arm = eval { decode_json($answer->{body})->{arm} } // '';
            return $arm eq $how{arm} && ($at{$worker} = time);
        }) or return;

    return (min(values %at), max(values %at));
}


# Asks on all connections, again and again, until each had its right answer.
sub answers {
    my ($self, %how) = @_;
    my @connections = @{ $how{connections}
                         // [values %{ $self->{connection} }] };
    my $deadline = time + $how{seconds};
    my $bytes = Canary::HTTP::message('GET', $how{path}, undef,
                                      'X-User-Id' => $how{user} // 'nobody');
    my %open = map { fileno $_->{socket} => $_ } @connections;
    my $select = IO::Select->new(map { $_->{socket} } @connections);
    my $rounds = 0;

    local $SIG{PIPE} = 'IGNORE';
    my $send = sub {
        my ($c) = @_;
        $c->{in} = '';
        syswrite $c->{socket}, $bytes;
    };

    $send->($_) for @connections;

    while (%open && time < $deadline) {
        for my $socket ($select->can_read(0.1)) {
            my $c = $open{ fileno $socket };
            my $n = sysread $socket, $c->{in}, 65_536, length $c->{in};

            next if !defined $n && $!{EAGAIN};
            return if !$n;
            my $answer = Canary::HTTP::parse(\$c->{in}, 0) or next;

            $self->{requests}++;
            $self->{failed}++ if $answer->{status} != 200;

            if ($how{right}->($answer, $c->{worker})) {
                delete $open{ fileno $socket };
                $select->remove($socket);
            } else {
                $send->($c);
            }
        }

        # a change that takes longer than an instant leaves others some time
        pause($how{calm} ? 0.005 : 0.001) if $how{calm} || $rounds++ > 200;
    }

    return !%open;
}


1;

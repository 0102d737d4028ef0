package Canary::HTTP;

# An HTTP/1.1 client: one request, raw bytes, or many users over some
# connections at a time.  It never waits for longer than its deadline.

use strict;
use warnings;

use Exporter qw(import);
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use List::Util qw(max);
use Time::HiRes qw(time);

use Canary::Util qw(slow);

our @EXPORT_OK = qw(get raw request sweep);


sub connect_to {
    my ($address) = @_;
    my $socket = $address =~ /^unix:(.+)/
        ? IO::Socket::UNIX->new(Peer => $1)
        : IO::Socket::INET->new(PeerAddr => $address, Timeout => 5);
    die "cannot connect to $address: $!\n" if !$socket;
    $socket->blocking(0);
    return $socket;
}


# get(address, path, header => value, ...)
sub get {
    my ($address, $path, @headers) = @_;
    return request($address, 'GET', $path, undef, @headers);
}


sub request {
    my ($address, $method, $path, $body, @headers) = @_;
    return raw($address, message($method, $path, $body, 'Connection', 'close',
                                 @headers));
}


sub message {
    my ($method, $path, $body, @headers) = @_;
    my $text = "$method $path HTTP/1.1\r\nHost: localhost\r\n";

    while (@headers) {
        my ($name, $value) = splice @headers, 0, 2;
        $text .= "$name: $value\r\n";
    }

    $text .= 'Content-Length: ' . length($body) . "\r\n" if defined $body;
    return "$text\r\n" . ($body // '');
}


# Sends bytes as they are; the answer as { status, headers, body }, with
# status 0 when there was none.
sub raw {
    my ($address, $bytes, $seconds) = @_;
    my $socket = connect_to($address);
    my $deadline = time + ($seconds // 10) * slow();
    my $select = IO::Select->new($socket);
    my $in = '';
    my $bodiless = $bytes =~ /^HEAD /;

    local $SIG{PIPE} = 'IGNORE';

    while (time < $deadline) {
        my $answer = parse(\$in, 0, $bodiless);
        return $answer if $answer;

        if (length $bytes && $select->can_write(0.05)) {
            my $n = syswrite $socket, $bytes;
            substr $bytes, 0, $n // length $bytes, '';
        }

        next if !$select->can_read(length $bytes ? 0 : 0.05);
        my $n = sysread $socket, $in, 65_536, length $in;
        next if !defined $n && $!{EAGAIN};
        return parse(\$in, 1, $bodiless)
            // { status => 0, headers => {}, body => '' } if !$n;
    }

    return { status => 0, headers => {}, body => '', timeout => 1 };
}


# Takes one whole answer from the buffer, or nothing.
sub parse {
    my ($in, $eof, $bodiless) = @_;
    my $end = index $$in, "\r\n\r\n";
    return if $end < 0;

    my ($line, @lines) = split /\r\n/, substr $$in, 0, $end;
    my ($status) = $line =~ m{^HTTP/1\.[01] (\d{3})} or return;
    my %headers = map { /^([^:]+): *(.*)/s ? (lc $1, $2) : () } @lines;
    my $start = $end + 4;
    my ($body, $used);

    if ($bodiless || $status == 204 || $status == 304) {
        ($body, $used) = ('', $start);
    } elsif (($headers{'transfer-encoding'} // '') eq 'chunked') {
        ($body, $used) = unchunk($in, $start) or return;
    } elsif (defined(my $length = $headers{'content-length'})) {
        return if length $$in < $start + $length;
        ($body, $used) = (substr($$in, $start, $length), $start + $length);
    } else {
        return if !$eof;
        ($body, $used) = (substr($$in, $start), length $$in);
    }

    substr $$in, 0, $used, '';
    return { status => $status, headers => \%headers, body => $body };
}


sub unchunk {
    my ($in, $at) = @_;
    my $body = '';

    while (1) {
        my $end = index $$in, "\r\n", $at;
        return if $end < 0;
        my $length = hex substr $$in, $at, $end - $at;
        return if length $$in < $end + 2 + $length + 2;
        return ($body, $end + 4) if !$length;
        $body .= substr $$in, $end + 2, $length;
        $at = $end + 2 + $length + 2;
    }
}


# Sends one request for each item over some connections and tells the answers
# one by one.
#
#     sweep(address => ..., items => [...], make => sub { item -> bytes },
#           answer => sub { item, answer, seconds }, connections => 8)
#
# As HTTP clients do, it repeats a request once when a connection that was
# used before was closed without one byte of an answer.
sub sweep {
    my (%how) = @_;
    my @waiting = reverse @{ $how{items} };
    my $deadline = time + ($how{seconds} // 60) * slow();
    my %connection;
    my $select = IO::Select->new;

    local $SIG{PIPE} = 'IGNORE';

    my $finish = sub {
        my ($c, $answer) = @_;
        $how{answer}->($c->{item}, $answer, time - $c->{began});
        delete $c->{item};
        $c->{used} = 1;
    };

    my $drop = sub {
        my ($c) = @_;
        $select->remove($c->{socket});
        delete $connection{ fileno $c->{socket} };
        close $c->{socket};
        return if !defined $c->{item};

        if ($c->{used} && !length $c->{in}) {
            push @waiting, $c->{item};
            return;
        }

        my $item = delete $c->{item};
        $how{answer}->($item, { status => 0, headers => {}, body => '' },
                       time - $c->{began});
    };

    my $next = sub {
        my ($c) = @_;
        return $drop->($c) if !@waiting;
        $c->{item} = pop @waiting;
        $c->{began} = time;
        $c->{in} = '';
        my $bytes = $how{make}->($c->{item});
        my $n = syswrite $c->{socket}, $bytes;
        $drop->($c) if ($n // 0) != length $bytes;
    };

    while (@waiting || %connection) {
        die "the sweep did not end in time\n" if time > $deadline;

        while (@waiting && keys %connection < ($how{connections} // 8)) {
            my $socket = eval { connect_to($how{address}) };

            if (!$socket) {
                $how{answer}->(pop @waiting, { status => 0, headers => {},
                                               body => $@ }, 0);
                next;
            }

            my $c = { socket => $socket, in => '' };
            $connection{ fileno $c->{socket} } = $c;
            $select->add($c->{socket});
            $next->($c);
        }

        for my $socket ($select->can_read(0.1)) {
            my $c = $connection{ fileno $socket } or next;
            my $n = sysread $socket, $c->{in}, 65_536, length $c->{in};

            next if !defined $n && $!{EAGAIN};
            my $answer = parse(\$c->{in}, !$n);

            if ($answer) {
                my $close = ($answer->{headers}{connection} // '') eq 'close';
                $finish->($c, $answer);
                $close || !$n ? $drop->($c) : $next->($c);
            } elsif (!$n) {
                $drop->($c);
            }
        }
    }
}


1;

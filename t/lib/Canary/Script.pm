package Canary::Script;

# An agent that plays a part: whatever an agent may do wrong on a wire, byte
# by byte.  The last part of a request's path names the part; a part is a list
# of texts to send and of subs to call with the connection.  Every connection
# is closed after one answer.

use strict;
use warnings;

use Exporter qw(import);
use IO::Socket::UNIX;
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER);

use Canary::Process qw(spawn);
use Canary::Util qw(pause);

our @EXPORT_OK = qw(answer chunk drip hang head reset wait_file);


# start(dir => ..., name => ..., parts => { name => [...] })
sub start {
    my ($class, %how) = @_;
    my $self = bless { path => "$how{dir}/$how{name}.sock", %how }, $class;
    my $listener = IO::Socket::UNIX->new(Local => $self->{path}, Listen => 128)
        or die "cannot listen on $self->{path}: $!";

    $self->{process} = spawn($how{name}, log => "$how{dir}/$how{name}.log",
                             code => sub { serve($listener, \%how) });
    close $listener;
    return $self;
}


sub address { return "unix:$_[0]{path}" }
sub process { return $_[0]{process} }


# One process for each connection: a part may take its time.
sub serve {
    my ($listener, $how) = @_;
    local $SIG{CHLD} = 'IGNORE';
    local $SIG{PIPE} = 'IGNORE';

    while (1) {
        my $client = $listener->accept or next;
        my $pid = fork // die "fork: $!";

        if (!$pid) {
            close $listener;
            alarm 60;
            eval { play($client, $how); 1 } or print STDERR $@;
            close $client;
            POSIX::_exit(0);
        }

        close $client;
    }
}


sub play {
    my ($client, $how) = @_;
    my $request = '';

    while ($request !~ /\r\n\r\n/) {
        sysread $client, $request, 65_536, length $request or return;
    }

    my ($length) = $request =~ /^Content-Length: (\d+)/mi;
    my $rest = ($length // 0) - length($request =~ s/.*?\r\n\r\n//sr);

    while ($rest > 0) {
        $rest -= sysread($client, my $bytes, 65_536) || return;
    }

    my ($part) = $request =~ m{^\w+ \S*?([^/?\s]+)(?:\?\S*)? HTTP} or return;
    my $steps = $how->{parts}{$part} // [answer(404, "no part $part\n")];

    for my $step (@$steps) {
        ref $step ? $step->($client) : send_all($client, $step);
    }
}


sub send_all {
    my ($client, $bytes) = @_;

    while (length $bytes) {
        my $n = syswrite $client, $bytes or die "the client is gone\n";
        substr $bytes, 0, $n, '';
    }
}


# -- what a part is made of ---------------------------------------------------

# head(status, 'Name: value', ...)
sub head {
    my ($status, @lines) = @_;
    return join "\r\n", "HTTP/1.1 $status Played", @lines,
        'Connection: close', '', '';
}


# answer(status, body, 'Name: value', ...)
sub answer {
    my ($status, $body, @lines) = @_;
    return head($status, @lines, 'Content-Length: ' . length $body) . $body;
}


sub chunk {
    my ($bytes) = @_;
    return sprintf "%x\r\n%s\r\n", length $bytes, $bytes;
}


# The bytes, so many at a time.
sub drip {
    my ($bytes, $size) = @_;
    return map { my $piece = $_; sub { send_all($_[0], $piece); pause(0) } }
        unpack "(a$size)*", $bytes;
}


# Until the other side has had enough.
sub hang {
    return sub {
        my ($client) = @_;
        while (sysread $client, my $bytes, 4_096) { }
    };
}


sub reset {
    return sub {
        setsockopt $_[0], SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
    };
}


# Until the file is there, or the other side has gone.
sub wait_file {
    my ($path) = @_;
    return sub {
        my ($client) = @_;
        $client->blocking(0);

        while (!-e $path) {
            my $n = sysread $client, my $bytes, 4_096;
            die "the client is gone\n" if defined $n && !$n;
            pause();
        }

        $client->blocking(1);
    };
}


1;

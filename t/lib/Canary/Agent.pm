package Canary::Agent;

# Agents to route to: demo/agent, and small servers that answer in one of the
# other protocols nginx can speak to a backend.

use strict;
use warnings;

use IO::Socket::UNIX;

use Canary::HTTP ();
use Canary::Process qw(spawn);
use Canary::Util qw(root wait_until);


# start(dir => ..., name => ..., options => [...]): demo/agent on a socket
sub start {
    my ($class, %how) = @_;
    my $self = bless { path => "$how{dir}/$how{name}.sock", %how }, $class;
    my $perl = $^X;

    $self->{process} = spawn($how{name}, log => "$how{dir}/$how{name}.log",
        command => [$perl, root() . '/demo/agent',
                    '--listen', "unix:$self->{path}",
                    '--name', $how{name}, @{ $how{options} // [] }]);
    $self->wait_ready;
    return $self;
}


sub wait_ready {
    my ($self) = @_;
    wait_until(10, sub { IO::Socket::UNIX->new(Peer => $self->{path}) })
        or die "agent $self->{name} did not start\n";

    # for an nginx that runs as somebody else
    chmod 0777, $self->{path};
}


sub address { return "unix:$_[0]{path}" }
sub process { return $_[0]{process} }


sub set {
    my ($self, $settings) = @_;
    my $answer = Canary::HTTP::request($self->address, 'POST', '/settings',
                                       $settings);
    die "agent $self->{name}: $answer->{body}" if $answer->{status} != 200;
}


# -- other protocols ----------------------------------------------------------

# start_cgi(protocol => fastcgi|scgi|uwsgi, dir => ..., name => ...,
#           body => bytes, cut => 1)
# A server that answers every request with its name and a body, or breaks off
# before the end of that.
sub start_cgi {
    my ($class, %how) = @_;
    my $name = "$how{protocol}-$how{name}";
    my $self = bless { path => "$how{dir}/$name.sock", %how }, $class;
    my $listener = IO::Socket::UNIX->new(Local => $self->{path}, Listen => 16)
        or die "cannot listen on $self->{path}: $!";
    my $serve = $class->can("serve_$how{protocol}");
    my $body = $how{body} // '';
    my $length = length($body) + ($how{cut} ? 100 : 0);

    $self->{process} = spawn($name, code => sub {
        while (my $client = $listener->accept) {
            eval {
                local $SIG{ALRM} = sub { die "too slow\n" };
                alarm 5;
                $serve->($client, "Status: 200 OK\r\nX-Agent: $how{name}\r\n"
                         . "Content-Length: $length\r\n\r\n$body",
                         $how{cut});
            };
            alarm 0;
            close $client;
        }
    });
    close $listener;
    return $self;
}


sub read_bytes {
    my ($client, $n) = @_;
    my $bytes = '';

    while (length $bytes < $n) {
        sysread $client, $bytes, $n - length $bytes, length $bytes
            or die "closed\n";
    }

    return $bytes;
}


# Records until the empty one of type 5 (FCGI_STDIN) that ends a request.
sub serve_fastcgi {
    my ($client, $answer, $cut) = @_;
    my $id;

    while (1) {
        my ($type, $length, $padding);
        (undef, $type, $id, $length, $padding) =
            unpack 'CCnnC', read_bytes($client, 8);
        read_bytes($client, $length + $padding);
        last if $type == 5 && !$length;
    }

    syswrite $client, pack('CCnnCC', 1, 6, $id, length $answer, 0, 0)
        . $answer;
    return if $cut;

    syswrite $client, pack('CCnnCC', 1, 6, $id, 0, 0, 0)
        . pack('CCnnCCNCCCC', 1, 3, $id, 8, 0, 0, 0, 0, 0, 0, 0);
}


# A netstring of headers.
sub serve_scgi {
    my ($client, $answer) = @_;
    my $length = '';
    $length .= read_bytes($client, 1) while $length !~ /:$/;
    chop $length;
    read_bytes($client, $length + 1);
    syswrite $client, $answer;
}


# Four bytes of head with the length of the variables.
sub serve_uwsgi {
    my ($client, $answer) = @_;
    my (undef, $length) = unpack 'Cv', read_bytes($client, 4);
    read_bytes($client, $length);
    syswrite $client, $answer =~ s/^Status: /HTTP\/1.0 /r;
}


1;

package Canary::Webhook;

# Somebody who is told of trips: notes every call, and answers it with a
# status, or never.

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use JSON::PP qw(decode_json encode_json);

use Canary::Process qw(spawn);
use Canary::Util qw(free_port slurp spew);


# start(dir => ..., answer => 204 | ... | 'hang')
sub start {
    my ($class, %how) = @_;
    my $self = bless { %how, port => free_port(),
                       file => "$how{dir}/webhook" }, $class;

    spew("$self->{file}.calls", '');
    $self->answer($how{answer} // 204);
    return $self->open;
}


sub url { return "http://127.0.0.1:$_[0]{port}/hook" }
sub process { return $_[0]{process} }


# What it answers from now on.
sub answer {
    my ($self, $answer) = @_;
    spew("$self->{file}.next", $answer);
    rename "$self->{file}.next", "$self->{file}.answer" or die "rename: $!";
}


# The calls so far: { id, signature, body, answer }
sub calls {
    my ($self) = @_;
    return map { decode_json($_) }
        split /\n/, slurp("$self->{file}.calls") // '';
}


sub close { return $_[0]{process}->stop('TERM', 5) }


# Also after close(), at the same port.
sub open {
    my ($self) = @_;
    my $listen = IO::Socket::INET->new(Listen => 16, ReuseAddr => 1,
        LocalAddr => '127.0.0.1', LocalPort => $self->{port})
        or die "listen: $!";

    $self->{process} = spawn('webhook', code => sub {
        serve($listen, $self->{file});
    });
    CORE::close $listen;
    return $self;
}


sub serve {
    my ($listen, $file) = @_;
    my @held;                               # those that are never answered

    $SIG{PIPE} = 'IGNORE';

    while (my $socket = $listen->accept) {
        my ($head, $body) = request($socket) or next;
        my $answer = slurp("$file.answer");
        my ($id) = $head =~ /^X-Agent-Canary-Id: (\S+)/mi;
        my ($signature) = $head =~ /^X-Agent-Canary-Signature: (\S+)/mi;

        CORE::open my $out, '>>', "$file.calls" or die "calls: $!";
        syswrite $out, encode_json({ id => $id, signature => $signature,
            body => $body, answer => $answer }) . "\n";
        CORE::close $out;

        if ($answer eq 'hang') {
            push @held, $socket;
            next;
        }

        syswrite $socket, "HTTP/1.1 $answer So\r\nContent-Length: 0\r\n\r\n";
    }
}


sub request {
    my ($socket) = @_;
    my $in = '';

    while (IO::Select->new($socket)->can_read(5)) {
        sysread $socket, $in, 65_536, length $in or return;
        my ($head, $length) =
            $in =~ /^(.*?Content-Length: (\d+).*?\r\n\r\n)/is or next;
        next if length $in < length($head) + $length;
        return ($head, substr $in, length $head);
    }

    return;
}


1;

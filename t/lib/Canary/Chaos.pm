package Canary::Chaos;

# A TCP proxy that misbehaves on request, and without a server behind it a
# server that only talks nonsense.  It runs as a process of its own; a mode
# holds for old and new connections from the moment set_mode() returns.
#
#     pass               what a good network does
#     delay MS           both ways
#     stall              accepts, forwards nothing, keeps what it got
#     mute               the same of what the server says
#     deaf               the same of what the client says
#     trickle N          N bytes a second to the client
#     truncate N         closes a connection after N bytes to the client
#     inject N HEX       puts bytes in after N bytes to the client
#     reset              resets every connection
#     close              closes every connection once it is accepted
#     say HEX            answers whatever is received with these bytes
#     answer HEX         the same, but a PING by +PONG

use strict;
use warnings;

use IO::Handle;
use IO::Select;
use IO::Socket::INET;
use List::Util qw(min);
use Socket qw(:DEFAULT IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);

use Canary::Process qw(spawn);
use Canary::Util qw(free_port slow);


# start(to => port of the server, or nothing)
sub start {
    my ($class, %how) = @_;
    my $port = free_port();
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
        LocalPort => $port, Listen => 64, ReuseAddr => 1)
        or die "cannot listen on $port: $!";

    socketpair my $mine, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC
        or die "socketpair: $!";
    $_->autoflush(1) for $mine, $theirs;

    my $process = spawn('chaos', code => sub {
        close $mine;
        run({ listener => $listener, control => $theirs, to => $how{to},
              mode => ['pass'], links => {}, accepted => 0 });
    });
    close $theirs;
    close $listener;

    return bless { port => $port, process => $process, control => $mine },
        $class;
}


sub port { return $_[0]{port} }
sub process { return $_[0]{process} }


# Returns the connections accepted so far, and those that are open.
sub set_mode {
    my ($self, @mode) = @_;
    syswrite $self->{control}, "@mode\n";
    return $self->answer;
}


sub counts {
    my ($self) = @_;
    syswrite $self->{control}, "counts\n";
    return $self->answer;
}


sub answer {
    my ($self) = @_;
    my $line = '';

    while ($line !~ /\n/) {
        IO::Select->new($self->{control})->can_read(10 * slow())
            && sysread $self->{control}, $line, 1, length $line
            or die "the chaos proxy does not answer\n";
    }

    return split ' ', $line;
}


# -- the process --------------------------------------------------------------

sub run {
    my ($p) = @_;
    $SIG{PIPE} = 'IGNORE';
    $p->{listener}->blocking(0);

    while (1) {
        my $pending = grep { length $_->{to_client} || length $_->{to_server} }
            values %{ $p->{links} };
        my $select = IO::Select->new($p->{listener}, $p->{control},
            map { grep { defined } $_->{client}, $_->{server} }
                values %{ $p->{links} });

        for my $socket ($select->can_read($pending ? 0.005 : 0.1)) {
            if ($socket == $p->{control}) {
                take_mode($p) or return;
            } elsif ($socket == $p->{listener}) {
                take_client($p);
            } else {
                take_bytes($p, $socket);
            }
        }

        forward($p, $_) for values %{ $p->{links} };
    }
}


sub take_mode {
    my ($p) = @_;
    my $line = readline $p->{control};
    return if !defined $line;

    my @mode = split ' ', $line;
    $p->{mode} = \@mode if $mode[0] ne 'counts';
    my $open = grep { !$_->{closed} } values %{ $p->{links} };
    print { $p->{control} } "$p->{accepted} $open\n";
    return 1;
}


sub take_client {
    my ($p) = @_;

    while (my $client = $p->{listener}->accept) {
        $p->{accepted}++;
        my $server;
        $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                        PeerPort => $p->{to}) if $p->{to};

        if ($p->{to} && !$server) {
            close $client;
            next;
        }

        setsockopt $_, IPPROTO_TCP, TCP_NODELAY, 1
            for grep { defined } $client, $server;
        my $link = { client => $client, server => $server, sent => 0,
                     to_client => '', to_server => '', began => time,
                     due => 0 };
        $_->blocking(0) for grep { defined } $client, $server;
        $p->{links}{$link} = $link;
    }
}


sub take_bytes {
    my ($p, $socket) = @_;
    my ($link) = grep { ($_->{client} // 0) == $socket
                        || ($_->{server} // 0) == $socket }
        values %{ $p->{links} } or return;
    my $from_client = $link->{client} == $socket;
    my $into = $from_client ? 'to_server' : 'to_client';
    my $n = sysread $socket, $link->{$into}, 65_536, length $link->{$into};

    return if !defined $n && $!{EAGAIN};
    return end_link($p, $link) if !$n;

    $link->{due} = time + $p->{mode}[1] / 1000 if $p->{mode}[0] eq 'delay';

    my ($mode, $hex) = @{ $p->{mode} };

    if ($from_client && ($mode eq 'say' || $mode eq 'answer')) {
        $link->{to_client} .= $mode eq 'answer' && $link->{to_server} =~ /PING/
            ? "+PONG\r\n" : pack 'H*', $hex;
        $link->{to_server} = '';
    }
}


sub forward {
    my ($p, $link) = @_;
    my ($mode, $n, $hex) = @{ $p->{mode} };

    return end_link($p, $link)        if $mode eq 'close';
    return end_link($p, $link, 1)     if $mode eq 'reset';
    return                            if $mode eq 'stall';
    return                            if $link->{due} > time;

    if ($mode eq 'inject' && !$link->{injected}
        && $link->{sent} + length $link->{to_client} >= $n)
    {
        substr $link->{to_client}, max0($n - $link->{sent}), 0, pack 'H*', $hex;
        $link->{injected} = 1;
    }

    my $room = length $link->{to_client};
    $room = max0($n - $link->{sent}) if $mode eq 'truncate';
    $room = max0((time - $link->{began}) * $n - $link->{sent})
        if $mode eq 'trickle';

    $room = 0 if $mode eq 'mute';

    write_some($p, $link, 'server', 'to_server', length $link->{to_server})
        if $mode ne 'deaf';
    $link->{sent} += write_some($p, $link, 'client', 'to_client', $room);

    end_link($p, $link) if $mode eq 'truncate' && $link->{sent} >= $n;
}


sub max0 { return $_[0] > 0 ? int $_[0] : 0 }


sub write_some {
    my ($p, $link, $end, $from, $room) = @_;
    my $n = min($room, length $link->{$from});

    return 0 if !$n || !$link->{$end} || $link->{closed};
    my $done = syswrite $link->{$end}, substr $link->{$from}, 0, $n;
    substr $link->{$from}, 0, $done // 0, '';
    return $done // 0;
}


sub end_link {
    my ($p, $link, $reset) = @_;

    return if $link->{closed}++;
    delete $p->{links}{$link};
    setsockopt $link->{client}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)
        if $reset;
    close $_ for grep { defined } $link->{client}, $link->{server};
    return;
}


1;

package Canary::Redis;

# A real redis-server of the test's own, and a small client for it.

use strict;
use warnings;

use File::Path qw(make_path);
use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(time);

use Canary::Process qw(alive spawn);
use Canary::Util qw(free_port slow wait_until);

use constant PREFIX => 'agent-canary:';


# new(dir => ..., name => ..., port => ..., options => [...], env => {...})
sub new {
    my ($class, %how) = @_;
    my $self = bless { name => 'redis', options => [], %how }, $class;

    $self->{port} //= free_port();
    $self->{home} = "$self->{dir}/$self->{name}";
    make_path($self->{home});
    return $self;
}


# Something else that speaks the protocol, started elsewhere.
sub adopt {
    my ($class, %what) = @_;
    return bless { %what }, $class;
}


sub port { return $_[0]{port} }
sub unix_path { return "$_[0]{home}/redis.sock" }
sub url { return "redis://127.0.0.1:$_[0]{port}" }
sub process { return $_[0]{process} }


sub start {
    my ($self) = @_;

    $self->{process} = spawn($self->{name}, log => "$self->{home}/log",
        env => $self->{env},
        command => ['redis-server', '--bind', '127.0.0.1',
                    '--port', $self->{port},
                    '--unixsocket', $self->unix_path,
                    '--dir', $self->{home}, '--save', '',
                    '--appendonly', 'no', @{ $self->{options} }]);
    return $self if $self->{without_wait};

    wait_until(10, sub { eval { $self->cmd('PING') } })
        or die "redis-server did not start: see $self->{home}/log\n";
    return $self;
}


sub kill_hard {
    my ($self) = @_;
    $self->drop_client;
    $self->{process}->signal('KILL');
    $self->{process}->wait_end(10);
}


sub stop {
    my ($self) = @_;
    $self->drop_client;
    return $self->{process}->stop('TERM');
}


sub freeze { $_[0]{process}->signal('STOP') }
sub thaw { $_[0]{process}->signal('CONT') }
sub drop_client { delete $_[0]{client} }


# -- flags --------------------------------------------------------------------

# Writes fields of a flag as an owner does; the first time it marks the store
# as one that is in use.
sub flag {
    my ($self, $name, @fields) = @_;
    my $reply = $self->cmd('HSET', PREFIX . "flag:$name", @fields);

    # last: what is missing after it counts as deleted
    $self->cmd('SET', PREFIX . 'inited', 1) if !$self->{inited}++;
    return $reply;
}


sub drop_flag {
    my ($self, $name) = @_;
    return $self->cmd('DEL', PREFIX . "flag:$name");
}


sub trip {
    my ($self, $name, $json) = @_;
    return $self->cmd('SET', PREFIX . "trip:$name", $json);
}


# -- the client ---------------------------------------------------------------

# Dies on an error reply, its text in $@.
sub cmd {
    my ($self, @args) = @_;
    my $known = $self->{client};
    my $reply = eval { command($self->client, @args) };

    if ($@) {
        my $error = $@;
        $self->drop_client if ref $error;

        # a Sentinel ends all connections of whom it makes a master
        return $self->cmd(@args)
            if $known && $self->{database} && ref $error && $error->{closed};
        die ref $error ? "$error->{text}\n" : $error;
    }

    return $reply;
}


# database: another one than the first, for the next connections.
sub client {
    my ($self) = @_;
    return $self->{client} if $self->{client};

    my $client = connect_client($self->{port});
    command($client, 'SELECT', $self->{database}) if $self->{database};
    return $self->{client} = $client;
}


sub connect_client {
    my ($port) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                       PeerPort => $port, Timeout => 2)
        or die "cannot connect to redis at $port: $!\n";
    return { socket => $socket, in => '' };
}


# Errors of the connection are references, errors of Redis are texts.
sub command {
    my ($client, @args) = @_;
    my $out = '*' . @args . "\r\n"
        . join '', map { '$' . length($_) . "\r\n$_\r\n" } @args;

    local $SIG{PIPE} = 'IGNORE';

    while (length $out) {
        my $n = syswrite $client->{socket}, $out
            or die { text => "write to redis: $!", closed => 1 };
        substr $out, 0, $n, '';
    }

    return read_reply($client);
}


sub read_reply {
    my ($client) = @_;
    my $line = read_line($client);
    my ($type, $rest) = $line =~ /^([-+:\$*])(.*)/s
        or die { text => "odd reply of redis: $line" };

    return $rest        if $type eq '+' || $type eq ':';
    die "$rest\n"       if $type eq '-';
    return undef        if $rest < 0;
    return [map { read_reply($client) } 1 .. $rest] if $type eq '*';

    more($client) while length $client->{in} < $rest + 2;
    my $value = substr $client->{in}, 0, $rest;
    substr $client->{in}, 0, $rest + 2, '';
    return $value;
}


sub read_line {
    my ($client) = @_;
    my $end;
    more($client) while ($end = index $client->{in}, "\r\n") < 0;
    my $line = substr $client->{in}, 0, $end;
    substr $client->{in}, 0, $end + 2, '';
    return $line;
}


sub more {
    my ($client) = @_;

    IO::Select->new($client->{socket})->can_read(5 * slow())
        or die { text => 'redis does not answer' };
    sysread $client->{socket}, $client->{in}, 65_536, length $client->{in}
        or die { text => 'redis closed the connection', closed => 1 };
}


1;

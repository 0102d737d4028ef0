package Demo::Redis;

# The private Redis that conf/redis.conf describes: a unix socket, no port.

use strict;
use warnings;

use parent qw(Canary::Redis);

use IO::Socket::UNIX;

use Canary::Process qw(spawn);
use Canary::Util qw(root slurp spew wait_until);


sub new {
    my ($class, %how) = @_;
    return $class->SUPER::new(%how, port => 0);
}


# conf/redis.conf with paths of our own
sub start {
    my ($self) = @_;
    my $home = $self->{home};

    spew("$home/redis.conf", slurp(root() . '/conf/redis.conf')
         =~ s{/(?:run/agent-canary-redis|var/lib/redis)}{$home}gr);

    $self->{process} = spawn($self->{name}, log => "$home/log",
                             command => ['redis-server', "$home/redis.conf"]);
    wait_until(10, sub { eval { $self->cmd('PING') } })
        or die "redis-server did not start:\n" . slurp("$home/log");
    return $self;
}


sub cmd {
    my ($self, @args) = @_;

    $self->{client} //= do {
        my $socket = IO::Socket::UNIX->new(Peer => $self->unix_path)
            or die 'cannot connect to ' . $self->unix_path . ": $!\n";
        { socket => $socket, in => '' };
    };

    return $self->SUPER::cmd(@args);
}


sub version {
    my ($self) = @_;
    return $self->cmd('INFO', 'server') =~ /^redis_version:(\S+)/m ? $1 : '?';
}


1;

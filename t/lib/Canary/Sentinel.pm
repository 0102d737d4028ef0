package Canary::Sentinel;

# A Redis with replicas and three Sentinels that watch them.

use strict;
use warnings;

use Canary::Process qw(spawn);
use Canary::Redis;
use Canary::Util qw(free_port spew wait_until);


# start(dir => ..., replicas => 1, sentinels => 3, options => [of a server],
#       conf => lines for a Sentinel)
sub start {
    my ($class, %how) = @_;
    my $self = bless { replicas => 1, sentinels => 3, name => 'mymaster',
                       servers => [], watchers => [], options => [],
                       conf => '', %how }, $class;

    $self->add_server;
    $self->add_server for 1 .. $self->{replicas};
    $self->add_sentinel for 1 .. $self->{sentinels};

    wait_until(20, sub { $self->settled })
        or die "the Sentinels do not know each other\n";
    return $self;
}


sub servers { return @{ $_[0]{servers} } }
sub watchers { return @{ $_[0]{watchers} } }


sub add_server {
    my ($self) = @_;
    my $n = @{ $self->{servers} };
    my $master = $self->{servers}[0];
    my $server = Canary::Redis->new(dir => $self->{dir}, name => "redis-$n",
        options => ['--repl-diskless-sync-delay', 0, @{ $self->{options} },
                    ($master ? ('--replicaof', '127.0.0.1', $master->port)
                             : ())]);
    push @{ $self->{servers} }, $server->start;
}


sub add_sentinel {
    my ($self) = @_;
    my $n = @{ $self->{watchers} };
    my $port = free_port();
    my $home = "$self->{dir}/sentinel-$n";
    my $master = $self->{servers}[0]->port;
    mkdir $home;
    spew("$home/sentinel.conf", <<"END");
port $port
bind 127.0.0.1
dir $home
sentinel monitor $self->{name} 127.0.0.1 $master 2
sentinel down-after-milliseconds $self->{name} 1500
sentinel failover-timeout $self->{name} 3000
$self->{conf}
END

    my $process = spawn("sentinel-$n", log => "$home/log",
        command => ['redis-server', "$home/sentinel.conf", '--sentinel']);
    push @{ $self->{watchers} },
        Canary::Redis->adopt(port => $port, home => $home, process => $process);
}


sub urls {
    my ($self) = @_;
    return join ' ', map { $_->url } $self->watchers;
}


# The Sentinels know of a working replica at least, to fail over to.
sub ready {
    my ($self) = @_;
    my $master = $self->master or return;
    my $role = eval { $master->cmd('ROLE') } or return;
    return @{ $role->[2] } >= 1 && $self->settled;
}


# Every Sentinel knows the others and the replicas.
sub settled {
    my ($self) = @_;

    for my $watcher ($self->watchers) {
        my $master = eval { $watcher->cmd('SENTINEL', 'MASTER', $self->{name}) }
            or return;
        my %about = @$master;
        return if $about{'num-other-sentinels'} != $self->{sentinels} - 1
            || $about{'num-slaves'} < $self->{replicas};
    }

    return 1;
}


# The master, as most Sentinels name it.
sub master {
    my ($self) = @_;
    my %votes;

    for my $watcher ($self->watchers) {
        my $address = eval {
            $watcher->cmd('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', $self->{name})
        } or next;
        $votes{ $address->[1] }++;
    }

    my ($port) = grep { $votes{$_} * 2 > $self->{sentinels} } keys %votes
        or return;
    return (grep { $_->port == $port } $self->servers)[0];
}


sub is_master {
    my ($server) = @_;
    my $role = eval { $server->cmd('ROLE') } or return;
    return $role->[0] eq 'master';
}


sub stop {
    my ($self) = @_;
    $_->process->stop('TERM', 5) for $self->watchers;
    for my $server ($self->servers) {
        $server->thaw;
        $server->stop;
    }
}


1;

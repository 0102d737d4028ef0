package Demo::Stack;

# Redis, two agents, nginx with the module and agent-canaryd beside it, below
# one directory.  All of them are children of this process and end with it.

use strict;
use warnings;

use File::Path qw(make_path);

use Canary::Agent;
use Canary::Nginx;
use Canary::Process qw(descendants);
use Canary::Sidecar;
use Canary::Util qw(root wait_until);
use Demo::Redis;

# what the kernel takes for the path of a unix socket, and our longest name
use constant {
    SOCKET_PATH => 107,
    SOCKET_NAME => length '/redis/redis.sock',
};


# start(dir => ..., port => ..., sidecar_port => ..., workers => n)
sub start {
    my ($class, %how) = @_;
    my $self = bless { workers => 4, %how }, $class;
    my $dir = $self->{dir};

    die "the path is too long for a unix socket: $dir\n"
        if length($dir) + SOCKET_NAME > SOCKET_PATH;

    make_path($dir);
    chmod 0755, $dir;

    $self->{redis} = Demo::Redis->new(dir => $dir)->start;
    $self->{redis}->cmd('SET', 'agent-canary:inited', 1);
    $self->{redis}->cmd('HSET', 'agent-canary:flag:support', 'percent', 0,
                        'bundle_baseline', 'support-41',
                        'bundle_candidate', 'support-42');

    $self->{agents} = { map { $_ => Canary::Agent->start(dir => $dir,
                                                         name => $_) }
                            qw(baseline candidate) };

    $self->{nginx} = Canary::Nginx->new(
        dir => $dir, workers => $self->{workers}, level => 'notice',
        http => $self->http_conf, server => $self->server_conf)->start;
    $self->{nginx}->wait_redis('ready')
        or die "nginx does not reach Redis:\n" . $self->{nginx}->log_text;

    $self->{sidecar} = Canary::Sidecar->new(
        dir => $dir, name => 'guard', nginx => $self->{nginx},
        redis_url => 'unix:' . $self->{redis}->unix_path,
        port => $self->{sidecar_port})->start;
    return $self;
}


sub redis { return $_[0]{redis} }
sub nginx { return $_[0]{nginx} }
sub sidecar { return $_[0]{sidecar} }
sub agent { return $_[0]{agents}{ $_[1] } }
sub address { return "127.0.0.1:$_[0]{port}" }
sub url { return 'http://' . $_[0]->address }


sub http_conf {
    my ($self) = @_;
    my $dir = $self->{dir};
    my $redis = $self->{redis}->unix_path;
    my $prices = root() . '/demo/prices.json';

    return <<"END";
    agent_canary_zone    canary:8m state=$dir/state/canary.state;
    agent_canary_redis   unix:$redis;
    agent_canary_prices  $prices;

    upstream support_v41 { server unix:$dir/baseline.sock;  keepalive 32; }
    upstream support_v42 { server unix:$dir/candidate.sock; keepalive 32; }
END
}


# X-Worker lets a client see that every worker obeys; with "reuseport" the
# kernel spreads connections over all of them.
sub server_conf {
    my ($self) = @_;
    my $address = $self->address;

    return <<"END";
        listen $address reuseport;
        keepalive_requests 1000000;
        keepalive_timeout 10m;

        location / {
            agent_canary  support  key=\$http_x_user_id
                          baseline=support_v41  candidate=support_v42;

            agent_canary_usage     auto;
            agent_canary_cost      \$upstream_http_x_agent_cost_usd;
            agent_canary_outcome   \$upstream_http_x_agent_outcome;
            agent_canary_deadline  3s;

            proxy_pass          http://agent_canary;
            proxy_http_version  1.1;
            proxy_set_header    Connection "";
            proxy_set_header    Host \$host;
            proxy_buffering     off;
            proxy_read_timeout  20s;

            add_header  X-Worker \$pid always;
        }

        location /canary/ {
            agent_canary_api trip;
            allow 127.0.0.1;
            allow unix:;
            deny  all;
        }
END
}


# Ends everything, in the order that no one misses another.  What did not go as
# it should, in words.
sub stop {
    my ($self) = @_;
    my @problems;

    for my $part (grep { defined } $self->{sidecar}, $self->{nginx},
                  values %{ $self->{agents} }, $self->{redis}) {
        my $process = $part->process or next;
        my $signal = $part->isa('Canary::Nginx') ? 'QUIT' : 'TERM';
        my $status = $process->stop($signal);
        push @problems, "$process->{name} ended with status $status" if $status;
    }

    wait_until(5, sub { !descendants() })
        or push @problems, map { "$_->[1] ($_->[0]) is left" } descendants();
    return @problems;
}


1;

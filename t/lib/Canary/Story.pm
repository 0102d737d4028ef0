package Canary::Story;

# A story: an nginx with the module, two agents, a Redis, and what happens to
# them.  Ending a story checks what every story promises: a clean exit, clean
# logs, no process left behind.
#
#     my $story = Canary::Story->new(workers => 4);
#     $story->redis->flag(support => percent => 5);
#     $story->start;
#     ...
#     $story->end;

use strict;
use warnings;

use Exporter qw(import);
use File::Temp qw(tempdir);
use Test::More;

use Canary::Agent;
use Canary::Chaos;
use Canary::HTTP;
use Canary::Load;
use Canary::Nginx;
use Canary::Oracle;
use Canary::Process qw(descendants);
use Canary::Redis;
use Canary::Sidecar;
use Canary::Traffic;
use Canary::Util qw(slurp wait_until);


# new(workers => n, state => 1, daemon => 1, redis_args => ..., zone => size,
#     main => ..., http => ..., server => ..., location => ..., api => 'trip')
sub new {
    my ($class, %how) = @_;
    my $dir = tempdir('canary-XXXXXX', TMPDIR => 1,
                      CLEANUP => !$ENV{TEST_CANARY_LEAVE});
    my $self = bless { workers => 2, zone => '4m', agents => {}, %how,
                       dir => $dir }, $class;

    chmod 0755, $dir;
    diag("left in $dir") if $ENV{TEST_CANARY_LEAVE};

    for my $name (qw(baseline candidate)) {
        $self->{agents}{$name} = Canary::Agent->start(dir => $dir,
                                                      name => $name);
    }

    return $self;
}


sub dir { return $_[0]{dir} }
sub agent { return $_[0]{agents}{ $_[1] } }
sub state_path { return "$_[0]{dir}/state/canary.state" }


# The Redis, started when it is first needed.
sub redis {
    my ($self) = @_;
    return $self->{redis} //=
        Canary::Redis->new(dir => $self->{dir},
                           options => $self->{redis_options} // [])->start;
}


# Where nginx looks for Redis: elsewhere when a proxy stands in front.
sub redis_url {
    my ($self) = @_;
    return $self->{redis_url} // $self->redis->url;
}


sub chaos {
    my ($self) = @_;
    return $self->{chaos} //= do {
        my $chaos = Canary::Chaos->start(to => $self->redis->port);
        $self->{redis_url} = 'redis://127.0.0.1:' . $chaos->port;
        $chaos;
    };
}


# -- the configuration --------------------------------------------------------

sub http_conf {
    my ($self) = @_;
    my $dir = $self->{dir};
    my $state = '';

    if ($self->{state}) {
        mkdir "$dir/state";
        $state = ' state=' . $self->state_path;
    }

    my $redis = 'agent_canary_redis ' . $self->redis_url . ' '
        . ($self->{redis_args} // '') . ';';
    my $more = $self->{http} // '';

    return <<"END";
    agent_canary_zone canary:$self->{zone}$state;
    $redis
    upstream baseline_agent {
        server unix:$dir/baseline.sock;
        keepalive 16;
    }
    upstream candidate_agent {
        server unix:$dir/candidate.sock;
        keepalive 16;
    }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
$more
END
}


sub server_conf {
    my ($self) = @_;
    my $location = $self->{location} // '';
    my $server = $self->{server} // '';
    my $api = $self->{api} ? " $self->{api}" : '';

    return <<"END";
        location / {
            agent_canary support key=\$http_x_user_id
                         baseline=baseline_agent candidate=candidate_agent;
            proxy_pass http://agent_canary;
            add_header X-Reason \$agent_canary_reason always;
            $location
        }
        location /canary/ {
            agent_canary_api$api;
        }
$server
END
}


sub nginx {
    my ($self) = @_;
    return $self->{nginx} //= Canary::Nginx->new(
        dir => $self->{dir}, workers => $self->{workers},
        main => $self->{main} // '', http => $self->http_conf,
        server => $self->server_conf, user => $self->{user},
        daemon => $self->{daemon});
}


# Another nginx of the same configuration, with a zone of its own.
sub node {
    my ($self, $name) = @_;
    my $node = Canary::Nginx->new(
        dir => $self->{dir}, name => $name, workers => $self->{workers},
        main => $self->{main} // '', http => $self->http_conf,
        server => $self->server_conf);
    push @{ $self->{nodes} }, $node;
    return $node;
}


# agent-canaryd beside an nginx of this story.
sub sidecar {
    my ($self, $name, %how) = @_;
    my $sidecar = Canary::Sidecar->new(
        dir => $self->{dir}, name => $name, nginx => $self->nginx,
        redis => $self->redis, %how)->start;
    push @{ $self->{sidecars} }, $sidecar;
    return $sidecar;
}


# Starts nginx and waits until it has read the flags.
sub start {
    my ($self) = @_;
    my $nginx = $self->nginx->start;

    $nginx->wait_redis('ready')
        or die "the link to Redis is not ready:\n" . $nginx->log_text;
    return $nginx;
}


# -- the oracle ---------------------------------------------------------------

# What the first users have to get at this percent, as { user => arm }.
sub expected {
    my ($self, $percent, $n, $salt) = @_;
    return Canary::Oracle::arms($salt // 'support', $percent,
                                Canary::Oracle::users($n // 300));
}


# Traffic whose fate nobody judges: see Canary::Traffic.
sub traffic {
    my ($self, @more) = @_;
    return Canary::Traffic->start(address => $self->nginx->address,
                                  dir => $self->{dir}, @more);
}


sub load {
    my ($self, $expect, @more) = @_;
    return Canary::Load->start(address => $self->nginx->address,
                               dir => $self->{dir}, expect => $expect, @more);
}


# Ends the load: one test.
sub end_load {
    my ($self, $load, $what) = @_;
    my $result = $load->stop;
    my $fine = $result->{requests} > 0 && !$result->{failed}
        && !$result->{moved};

    ok($fine, "$what: $result->{requests} requests, none failed, nobody moved")
        or diag("failed $result->{failed}, moved $result->{moved}: ",
                join '; ', @{ $result->{first} });
    return $result;
}


# No request waited for Redis: one test.  Who does waits for a deadline of
# 1 s, and so do all who ask meanwhile; one alone has met a machine that had
# other things to do.
sub nobody_waited {
    my ($self, $result, $what) = @_;
    return ok($result->{waited} <= 1, $what)
        || diag("$result->{waited} did, the slowest $result->{slowest} s");
}


# Asks for the arm of each user: one test.
sub arms_are {
    my ($self, $expected, $what) = @_;
    my $got = $self->nginx->arms_of([sort keys %$expected]);
    my @wrong = grep { ($got->{$_} // 'nobody') ne $expected->{$_} }
        sort keys %$expected;

    ok(!@wrong, $what)
        or diag(scalar(@wrong), ' of ', scalar(keys %$expected), ' differ; ',
                "first: $wrong[0] got ", $got->{ $wrong[0] } // 'nobody');
}


# -- the end ------------------------------------------------------------------

sub end {
    my ($self) = @_;

    for my $sidecar (@{ $self->{sidecars} // [] }) {
        is($sidecar->stop, 0, "$sidecar->{name} ends cleanly");
        is(join("\n", $sidecar->complaints), '',
           "$sidecar->{name}: no finding of a sanitizer");
    }

    for my $nginx (grep { $_ && $_->process } $self->{nginx},
                   @{ $self->{nodes} // [] })
    {
        is($nginx->stop, 0, 'nginx ends cleanly') if !$self->{ended};
        my @complaints = $nginx->complaints;
        is(scalar(@complaints), 0, 'nothing grave in the log')
            or diag(join "\n", @complaints[0 .. ($#complaints < 9
                                                 ? $#complaints : 9)]);
    }

    $_->process->stop for values %{ $self->{agents} };
    $self->{chaos}->process->stop if $self->{chaos};
    $self->{redis}->stop if $self->{redis} && $self->{redis}->process;

    my @left;
    wait_until(5, sub { !(@left = descendants()) });
    is(join(', ', map { "$_->[1] ($_->[0])" } @left), '',
       'no process is left behind');
    done_testing();
}


1;

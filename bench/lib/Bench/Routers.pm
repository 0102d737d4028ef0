package Bench::Routers;

# The same work, done in every way that is compared: requests of users, a
# quarter of whom are for the candidate.  What decides nothing comes first.

use strict;
use warnings;

use IO::Socket::UNIX;

use Bench qw(load on_cpu);
use Bench::Nginx;
use Canary::Nginx;
use Canary::Process qw(spawn);
use Canary::Redis;
use Canary::Util qw(free_port root slurp spew wait_until);

use constant PERCENT => 25;

# What Debian calls its packages' modules.
use constant LUA => [map { "/usr/lib/nginx/modules/${_}_module.so" }
                     qw(ndk_http ngx_http_lua)];

my $kept = Bench::Nginx::KEPT;


# new(dir => ...): the agents and the Redis of all routers; /answers/ of an
# agent are the files of that directory below dir
sub new {
    my ($class, %how) = @_;
    my $self = bless { %how }, $class;

    $self->{port}{$_} = free_port() for qw(baseline candidate);

    $self->{redis} = Canary::Redis->new(dir => $self->{dir})->start;
    $self->{redis}->flag('support', percent => PERCENT);

    $self->{agents} = Bench::Nginx->new(dir => $self->{dir}, workers => 1,
        name => 'agents', prefix => [on_cpu(0)],
        http => join '', map { <<"END" } qw(baseline candidate));
    server {
        listen 127.0.0.1:$self->{port}{$_};
        default_type application/json;
        types { text/event-stream sse; }
        location / { return 200 '{"agent":"$_"}'; }
        location /answers/ { root $self->{dir}; }
    }
END
    $self->{agents}->start;

    return $self;
}


sub redis { return $_[0]{redis} }


sub upstreams {
    my ($self) = @_;

    return join '', map { <<"END" } qw(baseline candidate);
    upstream $_ {
        server 127.0.0.1:$self->{port}{$_};
        keepalive 64;
        keepalive_requests $kept;
        keepalive_timeout 1h;
    }
END
}


sub nginx {
    my ($self, $how, %parts) = @_;

    return Bench::Nginx->new(dir => $self->{dir}, workers => 1, %$how,
        modules => $parts{modules} // [],
        http => $self->upstreams . ($parts{http} // '')
            . ($how->{http} // ''),
        server => <<"END");
        location / {
            proxy_http_version 1.1;
            proxy_set_header Connection "";
$parts{location}
        }
@{[$parts{server} // '']}
END
}


sub static {
    my ($self, %how) = @_;

    return $self->nginx(\%how, location => <<'END');
            proxy_pass http://baseline;
END
}


# agent_canary(flag => ..., tenant => ..., zone => ..., redis => ...,
#              location => more directives)
sub agent_canary {
    my ($self, %how) = @_;
    my $flag = delete $how{flag} // 'support';
    my $tenant = delete $how{tenant} // '';
    my $zone = delete $how{zone} // '8m';
    my $redis = delete $how{redis} // '';
    my $more = delete $how{location} // '';

    return $self->nginx(\%how, modules => [Canary::Nginx::module()],
        http => <<"END", location => <<"END", server => <<"END");
    agent_canary_zone canary:$zone;
    agent_canary_redis unix:@{[$self->{redis}->unix_path]} $redis;
END
            agent_canary $flag key=\$http_x_user_id $tenant
                         baseline=baseline candidate=candidate;
            proxy_pass http://agent_canary;
            $more
END
        location /canary/ { agent_canary_api; }
END
}


sub split_clients {
    my ($self, %how) = @_;

    return $self->nginx(\%how,
        http => <<"END", location => <<'END');
    split_clients \$http_x_user_id \$arm {
        @{[PERCENT]}%  candidate;
        *  baseline;
    }
END
            proxy_pass http://$arm;
END
}


sub lua_dict {
    my ($self, %how) = @_;

    return $self->nginx(\%how, modules => LUA,
        http => <<"END", location => <<'END');
    lua_shared_dict flags 1m;
    init_by_lua_block { ngx.shared.flags:set("support", @{[PERCENT]}) }
END
            set $arm baseline;
            access_by_lua_block {
                local user = ngx.var.http_x_user_id
                local percent = ngx.shared.flags:get("support")
                if user and percent
                   and ngx.crc32_long(user) % 100000 < percent * 1000
                then
                    ngx.var.arm = "candidate"
                end
            }
            proxy_pass http://$arm;
END
}


sub lua_redis {
    my ($self, %how) = @_;
    my $library = root() . '/build/bench/lua-nginx-redis/usr/share/lua/5.1';
    my $socket = $self->{redis}->unix_path;

    return $self->nginx(\%how, modules => LUA,
        http => <<"END", location => <<"END");
    lua_package_path "$library/?.lua;;";
END
            set \$arm baseline;
            access_by_lua_block {
                local redis = require("nginx.redis"):new()
                local user = ngx.var.http_x_user_id
                redis:set_timeout(1000)
                if user and redis:connect("unix:$socket") then
                    local percent = redis:hget("agent-canary:flag:support",
                                               "percent")
                    redis:set_keepalive(3600000, 64)
                    percent = tonumber(percent)
                    if percent
                       and ngx.crc32_long(user) % 100000 < percent * 1000
                    then
                        ngx.var.arm = "candidate"
                    end
                end
            }
            proxy_pass http://\$arm;
END
}


sub haproxy {
    my ($self, %how) = @_;
    my $home = "$self->{dir}/$how{name}";
    my $router = bless { port => free_port(), home => $home },
        'Bench::Routers::HAProxy';

    mkdir $home;
    spew("$home/haproxy.cfg", <<"END");
global
    nbthread 1
    stats socket $home/admin.sock level admin
    set-var proc.percent int(0)

defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    http-reuse always

frontend users
    bind 127.0.0.1:$router->{port}
    http-request set-var(txn.bucket) req.hdr(x-user-id),xxh64,and(9223372036854775807),mod(100000)
    use_backend candidate if { var(txn.bucket),sub(proc.percent) -m int lt 0 }
    default_backend baseline

backend baseline
    server agent 127.0.0.1:$self->{port}{baseline}

backend candidate
    server agent 127.0.0.1:$self->{port}{candidate}
END

    $router->{process} = spawn($how{name}, log => "$home/log",
        command => [@{ $how{prefix} // [] }, 'haproxy', '-db', '-f',
                    "$home/haproxy.cfg"]);

    my $buckets = PERCENT * 1000;
    my $admin = wait_until(10, sub {
        IO::Socket::UNIX->new(Peer => "$home/admin.sock")
    }) or die "haproxy did not start:\n" . slurp("$home/log");

    # the percent as an owner changes it, while it runs
    print {$admin} "experimental-mode on; "
        . "set var proc.percent int($buckets)\n";
    local $/;
    my $answer = readline $admin;
    die "haproxy: $answer" if $answer =~ /\S/;

    return $router;
}


# Dies unless users were split as they should be, and not at all where nothing
# decides.
sub check_share {
    my ($share, $decides) = @_;
    my $wanted = $decides ? PERCENT / 100 : 0;

    die "the candidate got $share of the requests instead of $wanted\n"
        if abs($share - $wanted) > 0.03;
}


package Bench::Routers::HAProxy;

sub start { return $_[0] }
sub port { return $_[0]{port} }
sub server_pid { return $_[0]{process}->pid }
sub stop { return $_[0]{process}->stop('TERM') }


1;

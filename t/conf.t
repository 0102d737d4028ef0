#!/usr/bin/env perl

# The examples in conf/ are what people copy.  Each is started as it stands,
# but for paths, ports and the user, with real agents, a Redis under the
# shipped ACL file, Sentinels and TLS, and has to route.  So is agent-canaryd,
# by the command of README.md and by that of the unit, and has to guard.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use JSON::PP qw(decode_json);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Agent;
use Canary::HTTP;
use Canary::Nginx;
use Canary::Oracle;
use Canary::Process qw(descendants spawn);
use Canary::Redis;
use Canary::Sidecar;
use Canary::Util qw(certificate command_output free_port root slurp spew
                    wait_until);

my $dir = tempdir('canary-XXXXXX', TMPDIR => 1,
                  CLEANUP => !$ENV{TEST_CANARY_LEAVE});
make_path(map { "$dir$_" } '/etc/agent-canary', '/run/agent-canary',
          '/run/agent-canary-redis',
          '/var/log/nginx', '/var/lib/agent-canaryd');
my $secret = 'of-the-examples';

my %port;                                   # in an example => here
my %tested;


sub port { return $port{ $_[0] } //= free_port() }


# A text with the paths and the ports of this test.
sub here {
    my ($text) = @_;
    $text =~ s{(/(?:etc|run|var)/)}{$dir$1}g;
    $text =~ s{127\.0\.0\.1:(\d+)}{'127.0.0.1:' . port($1)}ge;
    return $text;
}


# An example with these and the user of this test.
sub adapted {
    my ($name) = @_;
    my $text = slurp(root() . "/conf/$name");
    my $module = Canary::Nginx::module();

    $text =~ s{modules/ngx_agent_canary_module\.so}{$module};
    $text =~ s{^user\s.*$}{$> == 0 ? 'user root root;' : ''}me;
    $text =~ s{^worker_processes.*}{worker_processes 2;}m;
    $text =~ s{^events}{daemon off;\nerror_log $dir/error.log info;\nevents}m;
    $text = here($text);
    $text =~ s{listen\s+(\d+);}{'listen 127.0.0.1:' . port($1) . ';'}ge;

    my $temp = join '', map { "    ${_}_temp_path $dir/temp-$_;\n" }
        qw(client_body proxy fastcgi uwsgi scgi);
    $temp .= "    access_log $dir/access.log;\n";
    $text =~ s/^http \{/http {\n$temp/m;
    return $text;
}


sub with_nginx {
    my ($name, $text, $story) = @_;
    my $conf = "$dir/$name";
    my @command = (Canary::Nginx::binary(), '-p', "$dir/", '-c', $conf,
                   '-e', "$dir/error.log");

    $tested{$name} = 1;
    spew($conf, $text);
    my ($said, $status) = command_output(@command, '-t');
    is($status, 0, "$name: nginx -t") or return diag($said);
    unlike($said, qr/\[warn\]/, "$name: not even a warning");

    my $nginx = spawn($name, command => \@command, log => "$dir/stdout");
    $story->();
    is($nginx->stop('QUIT'), 0, "$name: ends cleanly");
    my @grave = grep { /\[(?:alert|crit|emerg)\]|Sanitizer|runtime error/ }
        split /\n/, slurp("$dir/error.log");
    is("@grave", '', "$name: nothing grave in the log");
    unlink "$dir/error.log";
}


# Runs agent-canaryd by a line as people type it, while something happens.
sub guarded {
    my ($name, $line, $story) = @_;
    my (undef, @options) = split ' ', here($line);
    my $log = "$dir/sidecar.log";
    my $sidecar = spawn("the sidecar of $name", log => $log,
                        command => [Canary::Sidecar::binary(), @options]);

    ok(wait_until(15, sub { (slurp($log) // '') =~ /nginx takes trips/ }),
       "$name: agent-canaryd is there, nginx takes trips");
    ok(wait_until(15, sub { slurp($log) =~ /Redis answers/ }),
       "$name: and knows Redis");
    $story->();
    is($sidecar->stop, 0, "$name: it ends cleanly");
    is(join("\n", grep { /\[error\]|Sanitizer|runtime error/ }
                  split /\n/, slurp($log)), '', "$name: and had no trouble");
    unlink $log;
}


# Lifts a trip, as the owner.
sub lift {
    my ($redis, $epoch, $address) = @_;
    login($redis, 'owner');
    $redis->cmd('HSET', 'agent-canary:flag:support', 'epoch', $epoch);
    ok(wait_until(10, sub { !(support($address)->{tripped} // 1) }),
       "epoch $epoch lifts it");
}


sub support {
    my ($address) = @_;
    my $answer = Canary::HTTP::get($address, '/canary/status');
    my ($flag) = grep { $_->{name} eq 'support' }
        @{ decode_json($answer->{body})->{flags} };
    return $flag // {};
}


sub ready {
    my ($name, $address) = @_;
    ok(wait_until(15, sub {
        my $answer = eval { Canary::HTTP::get($address, '/canary/status') };
        $answer && $answer->{body} =~ /"state":"ready"/
            && $answer->{body} =~ /"state":"ok"/;
    }), "$name: linked to Redis, flag known")
        or diag(slurp("$dir/error.log"));
}


sub routes {
    my ($name, $path, $arms, $ask) = @_;
    my @wrong = grep { ($ask->($_, $path) // 'nobody') ne $arms->{$_} }
        sort keys %$arms;
    is("@wrong", '', "$name: users where they belong");
}


my @users = Canary::Oracle::users(40);
my $agents = {};

for my $agent (['baseline', 8041], ['candidate', 8042]) {
    my ($name, $port) = @$agent;
    $agents->{$name} = Canary::Agent->start(dir => $dir, name => $name,
        options => ['--listen', port($port)]);
}


# -- the Redis of the examples ------------------------------------------------

# redis.conf as it stands, on a socket; its ACL file with a password of ours
my $acl = slurp(root() . '/conf/redis.acl');
my $hash = sha256_hex($secret);
$acl =~ s/#0{64}/#$hash/g;
spew("$dir/etc/agent-canary/redis.acl", $acl);
spew("$dir/etc/agent-canary/redis.pass", "$secret\n");
spew("$dir/etc/agent-canary/sidecar.pass", "$secret\n");
spew("$dir/etc/agent-canary/sentinel.pass", "$secret\n");
chmod 0600, glob "$dir/etc/agent-canary/*.pass";

my $conf = slurp(root() . '/conf/redis.conf')
    =~ s{(/(?:etc|run|var)/)}{$dir$1}gr;
make_path("$dir/redis");
$conf =~ s{^dir .*}{dir $dir/redis}m;
spew("$dir/redis.conf", $conf);

my $embedded = spawn('redis.conf', log => "$dir/redis.log",
                     command => ['redis-server', "$dir/redis.conf"]);
my $socket = "$dir/run/agent-canary-redis/redis.sock";
ok(wait_until(10, sub { -S $socket }), 'redis.conf: starts on its socket');
my ($said) = command_output('redis-cli', '-s', $socket,
                            'CONFIG', 'GET', 'maxmemory-policy');
like($said, qr/noeviction/, 'redis.conf: never evicts a flag');
is($embedded->stop, 0, 'redis.conf: ends');


# -- the users of redis.acl ---------------------------------------------------

sub acl_redis {
    my (%how) = @_;
    my $redis = Canary::Redis->new(dir => $dir, %how,
        options => ['--aclfile', "$dir/etc/agent-canary/redis.acl",
                    @{ $how{options} // [] }]);
    $redis->{without_wait} = 1;
    $redis->start;
    wait_until(10, sub { eval { login($redis, 'admin'); 1 } })
        or die 'no redis';
    return $redis;
}


sub login {
    my ($redis, $user) = @_;
    $redis->drop_client;
    $redis->cmd('AUTH', "canary-$user" =~ s/^canary-admin$/admin/r, $secret);
}


my $redis = acl_redis(name => 'acl', port => port(6379));

sub may {
    my ($user, @command) = @_;
    eval { $redis->cmd(@command) };
    unlike($@, qr/NOPERM/, "redis.acl: $user may " . join ' ', @command);
}

sub may_not {
    my ($user, @command) = @_;
    eval { $redis->cmd(@command) };
    like($@, qr/NOPERM|No permissions/,
         "redis.acl: $user may not " . join ' ', @command);
}

my ($flag, $trip) = map { "agent-canary:$_:support" } 'flag', 'trip';

login($redis, 'owner');
may(owner => @$_) for
    ['SET', 'agent-canary:inited', 1],
    ['HSET', $flag, 'percent', 50], ['HGETALL', $flag], ['SET', $trip, '{}'],
    ['DEL', $trip], ['WATCH', $flag], ['MULTI'], ['EXEC'],
    ['XADD', 'agent-canary-fleet:audit', '*', 'a', 'b'], ['SELECT', 0];
may_not(owner => @$_) for
    ['FLUSHALL'], ['FLUSHDB'], ['KEYS', '*'], ['CONFIG', 'GET', '*'],
    ['EVAL', 'return 1', 0], ['SET', 'other', 1], ['RENAME', $flag, 'x'],
    ['ACL', 'LIST'], ['SHUTDOWN'];

login($redis, 'nginx');
may(nginx => @$_) for ['HGETALL', $flag], ['GET', $trip], ['PING'], ['ROLE'],
    ['GET', 'agent-canary:inited'], ['CLIENT', 'ID'], ['SELECT', 0];
may_not(nginx => @$_) for
    ['HSET', $flag, 'percent', 100], ['DEL', $flag], ['SET', $trip, '{}'],
    ['DEL', $trip], ['FLUSHALL'], ['KEYS', '*'], ['SCAN', 0], ['GET', 'other'],
    ['EVAL', 'return 1', 0], ['PUBLISH', '__redis__:invalidate', 'x'],
    ['CLIENT', 'LIST'], ['CLIENT', 'KILL', 'TYPE', 'normal'], ['MONITOR'];

login($redis, 'sidecar');
my ($window, $instances, $marker, $audit) = map { "agent-canary-fleet:$_" }
    'window:support:a', 'instances', 'audited:support:1:0', 'audit';
may(sidecar => @$_) for
    ['PING'], ['ROLE'], ['SELECT', 0], ['GET', $trip], ['SET', $trip, '{}'],
    ['HSET', $window, 'n', 1], ['HGETALL', $window], ['EXPIRE', $window, 30],
    ['HDEL', $instances, 'a'], ['WATCH', $marker], ['GET', $marker],
    ['UNWATCH'], ['MULTI'], ['SET', $marker, 'a', 'EX', 60],
    ['XADD', $audit, 'MAXLEN', '~', 100_000, '*', 'a', 'b'], ['EXEC'];
may_not(sidecar => @$_) for
    ['HSET', $flag, 'percent', 100], ['DEL', $flag], ['DEL', $trip],
    ['SET', $flag, 'x'], ['SET', 'agent-canary:inited', 1], ['FLUSHALL'],
    ['HGETALL', $flag], ['GET', $flag], ['DEL', $audit],
    ['XTRIM', $audit, 'MAXLEN', 0], ['XRANGE', $audit, '-', '+'],
    ['EXPIRE', $trip, 1],
    ['GET', 'other'], ['SET', 'other', 1], ['KEYS', '*'],
    ['EVAL', 'return 1', 0], ['CONFIG', 'GET', '*'],
    ['SUBSCRIBE', '__redis__:invalidate'];

login($redis, 'owner');
$redis->cmd('DEL', $trip);


# -- minimal.conf -------------------------------------------------------------

# it has neither users nor passwords: the same Redis with "default" on
login($redis, 'admin');
$redis->cmd('ACL', 'SETUSER', 'default', 'on', 'nopass', '~agent-canary*',
            '&*', '+@all');

my $arms = Canary::Oracle::arms('support', 50, @users);
my $nobody = Canary::Oracle::arms('support', 0, @users);
my $web = '127.0.0.1:' . port(8080);

sub ask {
    my ($user, $path) = @_;
    return Canary::HTTP::get($web, $path, 'X-User-Id' => $user)
        ->{headers}{'x-agent'};
}

with_nginx('minimal.conf', adapted('minimal.conf'), sub {
    ready('minimal.conf', $web);
    routes('minimal.conf', '/', $arms, \&ask);

    my ($line) = slurp(root() . '/README.md') =~ /^\$ (agent-canaryd .*)/m;
    guarded('minimal.conf', $line, sub {
        is(Canary::HTTP::request($web, 'POST', '/canary/trip',
                                 '{"flag":"support","epoch":0}')->{body},
           qq({"applied":true}\n), 'minimal.conf: a trip is taken');
        routes('minimal.conf', '/', $nobody, \&ask);
        lift($redis, 1, $web);
    });
});
login($redis, 'admin');
$redis->cmd('ACL', 'SETUSER', 'default', 'off');


# -- agents.conf --------------------------------------------------------------

# the auth service: knows its users by their token
my $auth = '127.0.0.1:' . port(8000);
my $agents_conf = adapted('agents.conf');
$agents_conf =~ s/\}\s*\z/<<"END"/e;
    server {
        listen $auth;
        add_header X-User-Id \$http_authorization;
        location = \/verify { return 200; }
    }
}
END

with_nginx('agents.conf', $agents_conf, sub {
    my $api = "unix:$dir/run/agent-canary/api.sock";
    ready('agents.conf', $api);

    # the header of the client is worth nothing, the token counts
    routes('agents.conf', '/v1/models', $arms, sub {
        my ($user, $path) = @_;
        my $answer = Canary::HTTP::get($web, $path, 'Authorization' => $user,
                                       'X-User-Id' => 'somebody-else');
        is($answer->{headers}{'x-user-id'}, $user,
           'agents.conf: the agent is told the user') if $user eq $users[0];
        return $answer->{headers}{'x-agent'};
    });

    my $answer = Canary::HTTP::request($web, 'POST', '/v1/chat/completions',
        '{"stream":true,"messages":[{"role":"user","content":"hi"}]}',
        'Authorization' => $users[0]);
    like($answer->{body}, qr/\Adata: .*\ndata: \[DONE\]\n\n\z/s,
         'agents.conf: a stream');

    my $metrics = '127.0.0.1:' . port(9145);
    like(Canary::HTTP::get($metrics, '/metrics')->{body},
         qr/^agent_canary_redis_up 1$/m, 'agents.conf: metrics');
    is(Canary::HTTP::get($metrics, '/status')->{status}, 404,
       'agents.conf: and nothing but metrics');
    like(slurp("$dir/var/log/nginx/agents.log"),
         qr/"arm":"candidate".*"user":"[0-9a-f]{16}"/, 'agents.conf: its log');
    unlike(slurp("$dir/var/log/nginx/agents.log"), qr/$users[0]/,
           'agents.conf: which does not name a user');

    # the guard of the unit, with the rights of its user
    my ($line) = slurp(root() . '/conf/agent-canaryd.service')
        =~ /^ExecStart=((?:.*\\\n)*.*)/m;
    guarded('agent-canaryd.service', $line =~ s/\\\n//gr, sub {
        my $own = '127.0.0.1:' . port(9146);
        is(Canary::HTTP::get($own, '/healthz')->{status}, 200,
           'agent-canaryd.service: healthy');
        like(Canary::HTTP::get($own, '/metrics')->{body},
             qr/^agent_canaryd_flag_percent\{flag="support"\} 50$/m,
             'agent-canaryd.service: it knows the flag');

        $agents->{candidate}->set('error-rate=1');
        ok(wait_until(30, sub {
            Canary::HTTP::get($web, '/v1/models', 'Authorization' => $_)
                for @users;
            support($api)->{tripped};
        }), 'agent-canaryd.service: a candidate that fails is taken back');
        ok(wait_until(10, sub { $redis->cmd('GET', $trip) =~ /agent-canaryd/ }),
           'agent-canaryd.service: Redis has the trip');
        $agents->{candidate}->set('error-rate=0');
        lift($redis, 2, $api);
    });
    ok(-s "$dir/var/lib/agent-canaryd/state",
       'agent-canaryd.service: its state is kept');
});


# -- grpc.conf ----------------------------------------------------------------

login($redis, 'owner');
$redis->cmd('HSET', 'agent-canary:flag:planner', 'percent', 50);
my $grpc_conf = adapted('grpc.conf');
my $front = '127.0.0.1:' . port(50051);
$grpc_conf =~ s/\}\s*\z/<<"END"/e;
    server {
        listen 127.0.0.1:@{[port(50071)]} http2;
        location \/ { add_header X-Agent baseline; return 200; }
    }
    server {
        listen 127.0.0.1:@{[port(50072)]} http2;
        location \/ { add_header X-Agent candidate; return 200; }
    }
}
END

with_nginx('grpc.conf', $grpc_conf, sub {
    ready('grpc.conf', "unix:$dir/run/agent-canary/api.sock");
    routes('grpc.conf', '/planner.Planner/Plan',
           Canary::Oracle::arms('planner', 50, @users), sub {
        my ($user, $path) = @_;
        my ($text) = command_output('curl', '-s', '-i', '-X', 'POST',
            '--http2-prior-knowledge', '-H', "X-User-Id: $user",
            '--max-time', 10, "http://$front$path");
        return $text =~ /^x-agent: (\w+)/mi ? $1 : undef;
    });
});


# -- sentinel-tls.conf --------------------------------------------------------

$redis->cmd('AUTH', 'admin', $secret);
$redis->stop;

certificate("$dir/etc/agent-canary");
for (['tls.crt', 'ca.pem'], ['tls.crt', 'nginx.pem'],
     ['tls.key', 'nginx.key'])
{
    my ($from, $to) = @$_;
    spew("$dir/etc/agent-canary/$to", slurp("$dir/etc/agent-canary/$from"));
}

my @tls = map { ("--tls-$_->[0]", $_->[1]) }
    ['cert-file', "$dir/etc/agent-canary/tls.crt"],
    ['key-file', "$dir/etc/agent-canary/tls.key"],
    ['ca-cert-file', "$dir/etc/agent-canary/ca.pem"],
    ['auth-clients', 'yes'];
my $master_port = free_port();
my $master = acl_redis(name => 'master',
                       options => ['--tls-port', $master_port, @tls]);
login($master, 'owner');
$master->cmd('SET', 'agent-canary:inited', 1);
$master->cmd('HSET', $flag, 'percent', 50);

my $sentinel_user = "user canary-nginx on #$hash resetkeys resetchannels "
    . '&+switch-master -@all +subscribe +ping +role +client|id '
    . '+sentinel|get-master-addr-by-name +sentinel|master';

my @sentinels = map {
    my $home = "$dir/sentinel-$_";
    make_path($home);
    spew("$home/sentinel.conf", <<"END");
port 0
tls-port @{[port($_)]}
tls-cert-file $dir/etc/agent-canary/tls.crt
tls-key-file $dir/etc/agent-canary/tls.key
tls-ca-cert-file $dir/etc/agent-canary/ca.pem
tls-auth-clients yes
tls-replication yes
dir $home
user default on nopass ~* &* +\@all
$sentinel_user
sentinel monitor flags 127.0.0.1 $master_port 2
sentinel auth-user flags admin
sentinel auth-pass flags $secret
END
    spawn("sentinel-$_", log => "$home/log",
          command => ['redis-server', "$home/sentinel.conf", '--sentinel']);
} 26379, 26380, 26381;

my $sentinel_conf = adapted('sentinel-tls.conf');
$sentinel_conf =~ s/ssl_name=redis\.internal/ssl_name=localhost/;

with_nginx('sentinel-tls.conf', $sentinel_conf, sub {
    ready('sentinel-tls.conf', $web);
    routes('sentinel-tls.conf', '/', $arms, \&ask);
});


# -- the end ------------------------------------------------------------------

is(join(' ', sort keys %tested),
   join(' ', sort map { s{.*/}{}r }
        grep { slurp($_) =~ /^http \{/m } glob root() . '/conf/*.conf'),
   'every example for nginx was started');

$_->stop for @sentinels;
$master->stop;
$_->process->stop for values %$agents;
my @left;
wait_until(5, sub { !(@left = descendants()) });
is(scalar(@left), 0, 'no process is left behind');
done_testing();

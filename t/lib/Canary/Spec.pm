package Canary::Spec;

# What the specs of the module share.  They are Test::Nginx::Socket files;
# "use Canary::Spec" before it gives them
#   - two agents, $TEST_NGINX_BASELINE and $TEST_NGINX_CANDIDATE for "server"
#   - a Redis and a state file that both hold a zoo of flags: the file, so that
#     no spec has to wait for Redis
#   - $TEST_NGINX_NOBODY, where nobody listens
#   - a root directory and a port of their own, so that they run side by side
#   - the module, loaded

use strict;
use warnings;

use File::Temp qw(tempdir);
use IO::Socket::UNIX;

use Canary::Agent;
use Canary::Nginx;
use Canary::Process;
use Canary::Redis;
use Canary::Snapshot qw(flag_entry write_snapshot);
use Canary::Util qw(certificate free_port root);

# Where "make test" unpacks Test::Nginx.
push @INC, root() . '/build/perl5/usr/share/perl5';

# Buckets under the salt "support": grace 7139, alice 27717, carol 48061,
# bob 67756, erin 91488.
my %zoo = (
    support  => { percent => 30, epoch => 7, mode => 'guarded',
                  bundle_baseline => 'support-41',
                  bundle_candidate => 'support-42' },
    zero     => { percent => 0,  salt => 'support' },
    all      => { percent => 100, salt => 'support' },
    killed   => { percent => 100, salt => 'support', enabled => 0 },
    lists    => { percent => 30, salt => 'support',
                  allow => '["bob","k\u00fcche"]', deny => '["alice"]' },
    tenants  => { percent => 30, salt => 'support',
                  tenants => '{"acme":100,"slow":0,"some":5}' },
    stages   => { percent => 30, salt => 'support', stages => '10,50,100' },
    tripped  => { percent => 100, salt => 'support', epoch => 3,
                  allow => '["erin"]' },
    stepped  => { percent => 100, salt => 'support', epoch => 3,
                  allow => '["erin"]', deny => '["grace"]' },
    lifted   => { percent => 100, salt => 'support', epoch => 4 },
);

my %trip = (
    tripped => '{"flag":"tripped","epoch":3,"percent":0,"by":"test"}',
    stepped => '{"flag":"stepped","epoch":3,"percent":30,"by":"test"}',
    lifted  => '{"flag":"lifted","epoch":3,"percent":0,"by":"test"}',
);

my $dir = tempdir('canary-spec-XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;

mkdir "$dir/state";
write_snapshot("$dir/state/canary.state", map {
    flag_entry($_, $zoo{$_}, trip => $trip{$_})
} sort keys %zoo);

certificate($dir);

my $redis = Canary::Redis->new(dir => $dir)->start;
$redis->flag($_, %{ $zoo{$_} }) for keys %zoo;
$redis->trip($_, $trip{$_}) for keys %trip;

my %agent = map { $_ => Canary::Agent->start(dir => $dir, name => $_) }
    qw(baseline candidate);

# Takes connections and never answers.
our $silent = IO::Socket::UNIX->new(Local => "$dir/silent.sock", Listen => 64)
    or die "cannot listen on $dir/silent.sock: $!";

$ENV{TEST_NGINX_NOBODY}         = '127.0.0.1:' . free_port();
$ENV{TEST_NGINX_BINARY}         ||= Canary::Nginx::binary();
$ENV{TEST_NGINX_LOAD_MODULES}   ||= Canary::Nginx::module();
$ENV{TEST_NGINX_SERVROOT}       = "$dir/servroot";
$ENV{TEST_NGINX_PORT}           = free_port();
$ENV{TEST_NGINX_MASTER_PROCESS} = 'on';
$ENV{TEST_NGINX_WORKER_USER}    = 'root root' if $> == 0;
$ENV{TEST_NGINX_DIR}            = $dir;
$ENV{TEST_NGINX_STATE}          = "$dir/state/canary.state";
$ENV{TEST_NGINX_REDIS}          = 'unix:' . $redis->unix_path;
$ENV{TEST_NGINX_BASELINE}       = $agent{baseline}->address;
$ENV{TEST_NGINX_CANDIDATE}      = $agent{candidate}->address;


# For the http block of every spec; with $stale, Redis is silent.
sub http_config {
    my ($stale) = @_;
    my $redis = defined $stale ? 'unix:$TEST_NGINX_DIR/silent.sock'
                               : '$TEST_NGINX_REDIS';

    $stale //= '1h hold';

    return <<"END";
    agent_canary_zone canary:1m state=\$TEST_NGINX_STATE;
    agent_canary_redis $redis;
    agent_canary_stale $stale;
    upstream v41 { server \$TEST_NGINX_BASELINE; }
    upstream v42 { server \$TEST_NGINX_CANDIDATE; }
    server {
        listen unix:\$TEST_NGINX_DIR/zoo.sock;
@{[zoo_locations()]}
    }
END
}


# nginx keeps the flags that its configuration names, and no others.
sub zoo_locations {
    return join '', map { <<"END" } sort keys %zoo;
        location /$_ {
            agent_canary $_ key=\$arg_key baseline=v41 candidate=v42;
        }
END
}


# A server of another protocol for one arm: fastcgi, scgi or uwsgi.
sub cgi {
    my ($protocol) = @_;

    for my $name (qw(baseline candidate)) {
        my $agent = Canary::Agent->start_cgi(dir => $dir, name => $name,
                                             protocol => $protocol);
        $ENV{ uc "TEST_NGINX_${protocol}_$name" } = $agent->address;
    }
}


1;

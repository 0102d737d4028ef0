#!/usr/bin/env perl

# rediss:// is nginx's own TLS: a certificate that does not fit is refused,
# and a flag still arrives in the moment it is written.

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Redis;
use Canary::Story;
use Canary::Util qw(certificate free_port wait_until);

my $story = Canary::Story->new(state => 1);
my $dir = $story->dir;
my $port = free_port();
certificate($dir);

$story->{redis_options} = ['--tls-port', $port, '--tls-auth-clients', 'no',
                           '--tls-cert-file', "$dir/tls.crt",
                           '--tls-key-file', "$dir/tls.key"];
my $redis = $story->redis;
$redis->flag(support => percent => 50);
$story->{redis_url} = "rediss://localhost:$port";
$story->{redis_args} = "ssl_trusted_certificate=$dir/tls.crt";

my $nginx = $story->start;
ok($nginx->wait_flag('support', state => 'ok'), 'flags over TLS');
$story->arms_are($story->expected(50), 'and users where they belong');

$redis->flag(support => percent => 25);
ok(wait_until(2, sub { $nginx->flag('support')->{percent} == 25 }),
   'changes arrive at once');
ok($nginx->status->{redis}{pushes} > 0, 'by a push');

my $load = $story->load($story->expected(25));
$redis->cmd('CLIENT', 'KILL', 'TYPE', $_, 'SKIPME', 'yes')
    for qw(normal pubsub);
wait_until(5, sub { $nginx->status->{redis}{state} ne 'ready' });
ok($nginx->wait_redis('ready'), 'connected again');
ok($nginx->reload, 'reload');
ok($nginx->wait_redis('ready'), 'and again');

# a certificate of somebody else
mkdir "$dir/other";
certificate("$dir/other");
$story->{redis_args} = "ssl_trusted_certificate=$dir/other/tls.crt";
ok($nginx->reload(http => $story->http_conf), 'reload with another CA');
my $status = wait_until(10, sub {
    my $s = $nginx->status;
    $s->{redis}{reason} =~ /certificate|verify/i && $s;
});
ok($status, 'a server it does not trust is refused, with a reason')
    or diag(explain($nginx->status));

# plain text where TLS is expected, and the other way round
for my $url ("rediss://localhost:@{[$redis->port]}",
             "redis://localhost:$port")
{
    $story->{redis_url} = $url;
    $story->{redis_args} = $url =~ /^rediss/
        ? "ssl_trusted_certificate=$dir/tls.crt" : '';
    ok($nginx->reload(http => $story->http_conf), "reload with $url");
    ok(wait_until(10, sub { $nginx->status->{redis}{failures} > 0
                            && $nginx->status->{redis}{reason} ne '' }),
       'refused, with a reason: ' . $nginx->status->{redis}{reason});
}

$story->end_load($load, 'all of it');
$story->end;

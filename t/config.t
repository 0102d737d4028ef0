#!/usr/bin/env perl

# What nginx -t says of a configuration that cannot work: an error that quotes
# the word which is wrong, at the line where it stands, before anything runs.

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Nginx;
use Canary::Util qw(certificate spew);

my $dir = tempdir('canary-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $nginx = Canary::Nginx->new(dir => $dir);

my $zone = 'agent_canary_zone canary:1m;';
my $redis = 'agent_canary_redis redis://127.0.0.1:1;';
my $arms = 'upstream v41 { server 127.0.0.1:1; } '
         . 'upstream v42 { server 127.0.0.1:2; }';
my $good = 'agent_canary support key=$arg_u baseline=v41 candidate=v42;';

spew("$dir/password", "secret-word\n");
spew("$dir/no-password", '');
spew("$dir/two-passwords", "one\ntwo\n");
spew("$dir/long-password", 'x' x 5000);
chmod 0600, map { "$dir/$_" } qw(password no-password two-passwords
                                 long-password);
certificate($dir);


sub verdict {
    my ($http, $server) = @_;
    $nginx->write_conf(http => $http, server => $server);
    return $nginx->test;
}


sub refused {
    my ($what, $http, $server, @texts) = @_;
    my ($text, $status) = verdict($http, $server);

    isnt($status, 0, "$what: refused");
    for my $wanted (@texts) {
        like($text, ref $wanted ? $wanted : qr/\Q$wanted\E/,
             "$what: " . (ref $wanted ? 'as expected' : $wanted));
    }

    # nginx itself tells no line for these
    like($text, qr/\[emerg\].*nginx\.conf:\d+/, "$what: with its line")
        if $text !~ /unknown ".*" variable|SSL_CTX_load|host not found/;
    unlike($text, qr/secret-word/, "$what: without the password");
}


sub accepted {
    my ($what, $http, $server) = @_;
    my ($text, $status) = verdict($http, $server);
    is($status, 0, "$what: accepted") or diag($text);
}


sub location { return "location / { @_ }" }


# -- agent_canary_zone --------------------------------------------------------

refused("zone $_->[0]", "agent_canary_zone $_->[0]; $redis $arms",
        location($good), $_->[1]) for
    ['canary', 'invalid zone "canary"'],
    [':1m', 'invalid zone ":1m"'],
    ['canary:', 'invalid zone size "canary:"'],
    ['canary:big', 'invalid zone size "canary:big"'],
    ['canary:-1m', 'invalid zone size "canary:-1m"'],
    ['canary:8k', 'zone "canary:8k" is too small'],
    ['canary:1m states=x', 'invalid parameter "states=x"'],
    ['canary:1m state=', 'invalid parameter "state="'],
    ['canary:1m state=/tmp/', 'invalid parameter "state=/tmp/"'],
    ['', 'invalid number of arguments'],
    ['canary:1m state=a state=b', 'invalid number of arguments'];

# nginx would give such a directory to the user of the workers
SKIP: {
    skip 'only root gives directories away', 4 if $> != 0;
    mkdir "$dir/shared";
    spew("$dir/shared/precious", '');
    $nginx->{user} = 'nobody nogroup';
    refused('a state file beside files of others',
            "agent_canary_zone canary:1m state=$dir/shared/canary.state; "
            . "$redis $arms", location($good),
            "\"state=$dir/shared/canary.state\" holds \"precious\"");
    $nginx->{user} = undef;
}

refused('two zones', "$zone agent_canary_zone other:1m; $redis $arms",
        location($good), '"agent_canary_zone" directive is duplicate');
refused('a zone in a server', "$zone $redis $arms", $zone,
        '"agent_canary_zone" directive is not allowed here');
refused('a zone of another size elsewhere',
        "$zone $redis $arms limit_req_zone \$arg_u zone=canary:2m rate=1r/s;",
        location($good), qr/canary/);


# -- agent_canary_redis -------------------------------------------------------

refused("redis $_->[0]", "$zone agent_canary_redis $_->[0]; $arms",
        location($good), $_->[1]) for
    ['', 'invalid number of arguments'],
    ['127.0.0.1:6379', 'invalid parameter "127.0.0.1:6379"'],
    ['http://127.0.0.1', 'invalid parameter "http://127.0.0.1"'],
    ['redis:127.0.0.1', 'invalid URL "redis:127.0.0.1"'],
    ['redis://', 'invalid URL "redis://"'],
    ['redis://127.0.0.1:0', 'invalid URL "redis://127.0.0.1:0"'],
    ['redis://127.0.0.1:99999', 'invalid URL "redis://127.0.0.1:99999"'],
    ['redis://127.0.0.1/x',
     'invalid database "x" in URL "redis://127.0.0.1/x", expected a number of '
     . '0 to 1000000'],
    ['redis://127.0.0.1/-1', 'invalid database "-1"'],
    ['unix:', 'invalid URL "unix:"'],
    ['unix:relative.sock', 'invalid URL "unix:relative.sock"'],
    ['redis://127.0.0.1:1 redis://127.0.0.1:2', 'several URLs'],
    ['redis://127.0.0.1:1 redis://127.0.0.1:1 sentinel=m', 'duplicate URL'],
    ['redis://127.0.0.1:1 rediss://127.0.0.1:2 sentinel=m', 'does not match'],
    ['sentinel=m', 'no URL'],
    ['redis://127.0.0.1 sentinel=', 'invalid parameter "sentinel="'],
    ['redis://127.0.0.1 color=red', 'invalid parameter "color=red"'],
    ['redis://127.0.0.1 poll=1s poll=2s', 'duplicate parameter "poll=2s"'],
    ['redis://127.0.0.1 poll=often', 'invalid parameter "poll=often"'],
    ['redis://127.0.0.1 poll=0', 'invalid parameter "poll=0"'],
    ['redis://127.0.0.1 connect_timeout=1h', 'connect_timeout=1h'],
    ['redis://127.0.0.1 username=me', '"username=me"'],
    ['redis://127.0.0.1 password=secret-word', 'expected "password_file="'],
    ["redis://127.0.0.1 password_file=$dir/nobody", "$dir/nobody"],
    ["redis://127.0.0.1 password_file=$dir", 'is not a file, expected'],
    ["redis://127.0.0.1 password_file=$dir/no-password", 'is empty, expected'],
    ["redis://127.0.0.1 password_file=$dir/two-passwords", 'holds too much'],
    ["redis://127.0.0.1 password_file=$dir/long-password", 'holds too much'],
    ['redis://127.0.0.1 ssl_verify=off', 'needs a "rediss://" URL'],
    ['rediss://127.0.0.1 ssl_verify=maybe', '"ssl_verify=maybe"'],
    ["rediss://127.0.0.1 ssl_certificate=$dir/tls.crt", 'need each other'],
    ["rediss://127.0.0.1 ssl_trusted_certificate=$dir/none.pem", 'none.pem'],
    ['redis://127.0.0.1 sentinel_username=me', 'it needs "sentinel="'],
    ['redis://no.such.host.invalid', 'no.such.host.invalid'];

refused('two Redis', "$zone $redis $redis $arms", location($good),
        '"agent_canary_redis" directive is duplicate');


# -- agent_canary -------------------------------------------------------------

refused("agent_canary $_->[0]", "$zone $redis $arms",
        location("agent_canary $_->[0];"), $_->[1]) for
    ['', 'invalid number of arguments'],
    ['support', 'must have "key" parameter'],
    ['support key=$arg_u', 'must have "baseline" parameter'],
    ['support key=$arg_u baseline=v41', 'must have "candidate" parameter'],
    ['support key= baseline=v41 candidate=v42', 'invalid parameter "key="'],
    ['support key=$arg_u baseline= candidate=v42',
     'invalid parameter "baseline="'],
    ['support key=$arg_u baseline=v41 candidate=v43',
     'unknown upstream "v43" in "candidate=v43"'],
    ['support key=$arg_u baseline=nobody candidate=v42',
     'unknown upstream "nobody" in "baseline=nobody"'],
    ['support key=$arg_u baseline=agent_canary candidate=v42',
     'unknown upstream "agent_canary"'],
    ['support key=$arg_u baseline=127.0.0.1 candidate=v42',
     'unknown upstream "127.0.0.1"'],
    ['support key=$arg_u key=$arg_v baseline=v41 candidate=v42',
     'duplicate parameter "key=$arg_v"'],
    ['support key=$arg_u baseline=v41 baseline=v42 candidate=v42',
     'duplicate parameter "baseline=v42"'],
    ['support key=$arg_u baseline=v41 candidate=v42 shade=1',
     'invalid parameter "shade=1"'],
    ['support key=$no_such_variable baseline=v41 candidate=v42',
     'unknown "no_such_variable" variable'],
    ['support key=$arg_u tenant=$nobody baseline=v41 candidate=v42',
     'unknown "nobody" variable'],
    ['off key=$arg_u baseline=v41 candidate=v42',
     'invalid parameter "key=$arg_u" after "off", expected none'],
    ['"sup port" key=$arg_u baseline=v41 candidate=v42',
     'invalid flag name "sup port"'],
    ['a/../b key=$arg_u baseline=v41 candidate=v42',
     'invalid flag name "a/../b"'],
    ['$arg_f key=$arg_u baseline=v41 candidate=v42',
     'invalid flag name "$arg_f"'],
    ['x' x 65 . ' key=$arg_u baseline=v41 candidate=v42', 'invalid flag name'];

refused('agent_canary twice', "$zone $redis $arms", location("$good $good"),
        '"agent_canary" directive is duplicate');
refused('agent_canary without a zone', "$redis $arms", location($good),
        'needs "agent_canary_zone"');
refused('agent_canary without Redis', "$zone $arms", location($good),
        'needs "agent_canary_redis"');
refused('an upstream of the built-in name',
        "$zone $redis $arms upstream agent_canary { server 127.0.0.1:3; }",
        location($good), 'duplicate upstream "agent_canary"');


# -- the others ---------------------------------------------------------------

refused("stale $_->[0]", "$zone $redis $arms agent_canary_stale $_->[0];",
        location($good), $_->[1]) for
    ['10s', 'invalid number of arguments'],
    ['soon hold', 'invalid time "soon"'],
    ['0 hold', 'invalid time "0"'],
    ['10s keep', 'invalid action "keep"'];

refused("location: $_->[0]", "$zone $redis $arms", location($_->[0]),
        $_->[1]) for
    ['agent_canary_dry_run maybe;', 'invalid value "maybe"'],
    ['agent_canary_dry_run on; agent_canary_dry_run on;', 'is duplicate'],
    ['agent_canary_override;', 'invalid number of arguments'],
    ['agent_canary_override $nobody;', 'unknown "nobody" variable'],
    ['agent_canary_override $arg_o; agent_canary_override $arg_o;',
     'is duplicate'],
    ['agent_canary_usage on;', 'invalid value "on", expected "off" or "auto"'],
    ['agent_canary_usage auto; agent_canary_usage off;', 'is duplicate'],
    ['agent_canary_deadline 10x;', 'invalid time "10x", expected a time such '
     . 'as "10s", or 0 for no deadline'],
    ['agent_canary_deadline 1s; agent_canary_deadline 0;', 'is duplicate'],
    ['agent_canary_errors 500 5xx;',
     'invalid status "5xx", expected 400 to 599'],
    ['agent_canary_api now;', 'invalid parameter "now", expected "trip"'],
    ['agent_canary_api; agent_canary_api;', 'is duplicate'];

refused('the api in a server', "$zone $redis $arms", 'agent_canary_api;',
        '"agent_canary_api" directive is not allowed here');


# -- what is hardly meant -----------------------------------------------------

my ($warning) = verdict("$zone $redis $arms",
                        location($good =~ s/\$arg_u/http_x_user_id/r));
like($warning, qr/\[warn\] .*no variable in "key=http_x_user_id", all users/,
     'a key without "$" is warned of');
($warning) = verdict("$zone $redis $arms", location($good));
unlike($warning, qr/\[warn\]/, 'one with it is not');


# -- what is right ------------------------------------------------------------

accepted('the smallest', "$zone $redis $arms", location($good));
accepted('nothing of ours', '', '');
accepted('a zone alone', $zone, '');
accepted('an api alone', '', location('agent_canary_api;'));
accepted('arms below', "$zone $redis", location($good) . "} $arms server {");
accepted('all at once', "$zone $arms agent_canary_redis "
         . "rediss://127.0.0.1:1/2 username=me password_file=$dir/password "
         . "prefix=x: poll=2s connect_timeout=500ms ssl_verify=on "
         . "ssl_trusted_certificate=$dir/tls.crt ssl_name=redis "
         . "ssl_certificate=$dir/tls.crt ssl_certificate_key=$dir/tls.key; "
         . 'agent_canary_stale 1m baseline;',
         "agent_canary_dry_run on; agent_canary_override \$arg_o; $good");
accepted('Sentinels', "$zone $arms agent_canary_redis redis://127.0.0.1:1 "
         . "redis://127.0.0.1:2 redis://[::1]:3 sentinel=m "
         . "sentinel_username=me sentinel_password_file=$dir/password;",
         location($good));
accepted('a unix socket', "$zone $arms agent_canary_redis unix:/x.sock:/3;",
         location($good));
accepted('10,000 flags', "agent_canary_zone canary:64m; $redis $arms",
         join "\n", map { "location /$_ { agent_canary flag-$_ key=\$arg_u "
                          . "baseline=v41 candidate=v42; }" } 1 .. 10_000);
# a zone that is too small is found where zones are made, and quotes itself
my ($text, $status) = verdict("agent_canary_zone canary:64k; $redis $arms",
    join "\n", map { "location /$_ { agent_canary flag-$_ key=\$arg_u "
                     . "baseline=v41 candidate=v42; }" } 1 .. 1000);
isnt($status, 0, 'more flags than the zone holds: refused');
like($text, qr/"canary" of 65536 bytes has room for \d+ of 1000 flags/,
     'and it says how many it does hold');

done_testing();

#!/usr/bin/env perl

# Passwords are rotated and rights are taken away while everything runs.
# (Row R9 of the fault matrix; the rights are those of the shipped ACL file.)

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Story;
use Canary::Util qw(root slurp spew wait_until);

# Of the shipped file, without the password that nobody has.
my ($rights) = slurp(root() . '/conf/redis.acl')
    =~ /^user canary-nginx on #0+ (.*)$/m
    or die 'conf/redis.acl has no user canary-nginx';

my $story = Canary::Story->new(state => 1);
my $redis = $story->redis;
my $file = $story->dir . '/redis.pass';

spew($file, "secret-one\n");
chmod 0600, $file;
$redis->cmd('ACL', 'SETUSER', 'canary-nginx', 'on', '>secret-one',
            split / /, $rights);
$redis->flag(support => percent => 50);
$story->{redis_args} = "username=canary-nginx password_file=$file";

my $nginx = $story->start;
ok($nginx->wait_flag('support', state => 'ok'), 'least rights suffice');
unlike($nginx->get('/canary/status')->{body}, qr/secret/,
       'the status does not tell the password');
is((grep { /canary-nginx/ } split /\n/, $redis->cmd('CLIENT', 'LIST')), 2,
   'two connections, both of the limited user');

my $load = $story->load($story->expected(50));

# a second password, then the first one goes: as rotations are done
$redis->cmd('ACL', 'SETUSER', 'canary-nginx', '>secret-two');
$redis->cmd('ACL', 'SETUSER', 'canary-nginx', '<secret-one');
$redis->cmd('CLIENT', 'KILL', 'USER', 'canary-nginx');
ok(wait_until(10, sub {
    $nginx->status->{redis}{reason} =~ /WRONGPASS|invalid username/;
}), 'the old password is refused, and the status says why')
    or diag(explain($nginx->status));
ok($nginx->wait_log(qr/WRONGPASS|invalid username/), 'so does the log');
unlike($nginx->log_text, qr/secret-/, 'which does not tell the password');

my $before = $nginx->status->{redis}{connects};
$load->wait_requests(400);
ok($nginx->status->{redis}{connects} - $before < 20,
   'a refused password is not tried again and again');

spew($file, "secret-two\n");
ok($nginx->reload, 'reload');
ok($nginx->wait_redis('ready'), 'the new password');

# every right in turn is taken away and given back
for my $right (qw(+hgetall +subscribe +client|tracking +get)) {
    my $minus = $right =~ s/^\+/-/r;
    $redis->cmd('ACL', 'SETUSER', 'canary-nginx', $minus);
    $redis->cmd('CLIENT', 'KILL', 'USER', 'canary-nginx');
    my $told = wait_until(15, sub {
        my $s = $nginx->status;
        ($s->{redis}{reason} . ($nginx->flag('support')->{reason} // ''))
            =~ /NOPERM|permission/;
    });
    ok($told || $right eq '+get', "without $right: told");
    $redis->cmd('ACL', 'SETUSER', 'canary-nginx', $right);
    ok(wait_until(15, sub { $nginx->status->{redis}{state} eq 'ready'
                                && $nginx->flag('support')->{state} eq 'ok' }),
       "with $right again: ready");
}

$redis->cmd('ACL', 'SETUSER', 'canary-nginx', 'resetkeys');
ok($nginx->wait_flag('support', state => qr/invalid|stale/),
   'no key may be read');
$redis->cmd('ACL', 'SETUSER', 'canary-nginx', grep { /^%/ } split / /, $rights);
ok($nginx->wait_flag('support', state => 'ok'), 'and again');

$redis->cmd('ACL', 'DELUSER', 'canary-nginx');
ok($nginx->wait_redis('failed'), 'the user is deleted');
$redis->cmd('ACL', 'SETUSER', 'canary-nginx', 'on', '>secret-two',
            split / /, $rights);
ok($nginx->wait_redis('ready'), 'and created again');

$story->end_load($load, 'all of it');
$story->end;

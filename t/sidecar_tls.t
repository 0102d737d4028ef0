#!/usr/bin/env perl

# rediss:// in the sidecar: a server is believed when its certificate is
# signed by whom it should be, and is for the name that was asked for; then
# everything goes as without TLS.

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP qw(decode_json);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Chaos;
use Canary::Guard qw(audit);
use Canary::Util qw(certificate command_output free_port slurp spew
                    wait_until);
use Canary::Watch;

my $port = free_port();
my $strict = free_port();
my $watch = Canary::Watch->new;
my $dir = $watch->dir;

for my $who ($dir, "$dir/other") {
    mkdir $who;
    certificate($who);
}

my @server = ('--tls-cert-file', "$dir/tls.crt", '--tls-key-file',
              "$dir/tls.key", '--tls-ca-cert-file', "$dir/tls.crt");
push @{ $watch->{redis_more} }, '--tls-port', $port, '--tls-auth-clients',
    'no', @server;

my $up = 'agent_canaryd_up{party="redis"}';
my $nginx = $watch->nginx(b => 60, c => 40);


# A sidecar that goes by TLS to this host, or to a whole URL.
sub by {
    my ($name, $host, @options) = @_;
    return $watch->sidecar($name, nginx => $nginx, options => \@options,
        redis_url => $host =~ m{//} ? $host : "rediss://$host:$port");
}


sub reason {
    my ($sidecar) = @_;
    return decode_json($sidecar->get('/healthz')->{body})->{redis};
}


# Each [sidecar, reason, what]: until it has given up, and what for.
sub refused {
    for my $case (@_) {
        my ($sidecar, $reason, $what) = @$case;
        wait_until(10, sub { reason($sidecar) =~ $reason });
        like(reason($sidecar), $reason, $what) or diag($sidecar->log_text);
        is($sidecar->metric($up), 0, "$what: down");
        is($sidecar->stop, 0, "$what: it ends");
    }
}


# -- all is well --------------------------------------------------------------

my $one = by('one', 'localhost', '--redis-ca', "$dir/tls.crt");
ok($one->wait_metric($up, 1), 'a name, and its CA') or diag($one->log_text);
$nginx->set(err => 1);
$watch->tripped(1, 'a trip');
$watch->audited(1, 'with an audit entry');

my $two = by('two', '127.0.0.1', '--redis-ca', "$dir/tls.crt");
ok($two->wait_metric($up, 1), 'an address in the certificate');
$watch->redis->cmd('CLIENT', 'KILL', 'USER', 'canary-sidecar');
ok(Canary::Sidecar::exchanged('redis', 2, $one, $two), 'connected again');
is($two->stop, 0, 'it ends');

my $any = by('any', 'localhost', '--redis-tls-verify', 'off');
ok($any->wait_metric($up, 1), 'unverified, when that is wanted');
is($any->stop, 0, 'it ends');

my $named = by('named', '127.0.0.1', '--redis-ca', "$dir/tls.crt",
               '--redis-tls-name', 'localhost');
ok($named->wait_metric($up, 1), 'another name than the host');
is($named->stop, 0, 'it ends');


# -- servers that are not believed --------------------------------------------

# who accepts and says nothing, and who breaks off
my ($mute, $cut) = map { Canary::Chaos->start(to => $port) } 1, 2;
$mute->set_mode('stall');
$cut->set_mode('truncate', 700);
my @ca = ('--redis-ca', "$dir/tls.crt");

refused(
    [by('system', 'localhost'), qr/self.signed certificate/i,
     'nobody of the system knows it'],
    [by('stranger', 'localhost', '--redis-ca', "$dir/other/tls.crt"),
     qr/certificate/i, 'signed by somebody else'],
    [by('misnamed', 'localhost', @ca, '--redis-tls-name', 'redis.internal'),
     qr/hostname mismatch/i, 'of another name'],
    [by('misaddressed', 'localhost', @ca, '--redis-tls-name', '127.0.0.2'),
     qr/IP address mismatch/i, 'of another address'],
    [by('plain', 'rediss://localhost:' . $watch->redis->port, @ca),
     qr/no answer in time|wrong version number/i, 'TLS to a plain port'],
    [by('bare', "redis://localhost:$port"), qr/closed|reset|Protocol/,
     'plain text to a TLS port'],
    [by('mute', 'rediss://localhost:' . $mute->port, @ca),
     qr/no answer in time/, 'a handshake that hangs'],
    [by('cut', 'rediss://localhost:' . $cut->port, @ca),
     qr/closed|eof|reset/i, 'one that breaks off']);
$_->process->stop for $mute, $cut;


# -- a CA that is replaced while it runs --------------------------------------

spew("$dir/ca.pem", slurp("$dir/other/tls.crt"));
my $renewed = by('renewed', 'localhost', '--redis-ca', "$dir/ca.pem");
ok($renewed->wait_metric($up, 0), 'the wrong CA');
$nginx->set(epoch => 2);
ok(wait_until(15, sub { ($nginx->trips)[-1]{epoch} == 2 }),
   'a trip is a trip at nginx');
spew("$dir/ca.pem", 'no certificate');
$renewed->process->signal('HUP');
ok($renewed->wait_log(qr/--redis-ca "\Q$dir\E.ca.pem": expected a PEM file/),
   'what is none changes nothing');
spew("$dir/ca.pem", slurp("$dir/tls.crt"));
$renewed->process->signal('HUP');
ok($renewed->wait_metric($up, 1), 'the right one, after SIGHUP')
    or diag($renewed->log_text);
$watch->tripped(2, 'and the trip is in Redis');
$watch->audited(2, 'with one audit entry');


# -- a server that wants to know its clients ----------------------------------

# Redis has one port for TLS: another Redis
my $picky = Canary::Redis->new(dir => $dir, name => 'picky', options => [
    @{ $watch->{redis_options} }, '--tls-port', $strict,
    '--tls-auth-clients', 'yes', @server])->start;
my $url = "rediss://localhost:$strict";

refused(
    [by('nobody', $url, @ca), qr/certificate required|handshake failure/i,
     'a client without a certificate'],
    [by('other', $url, @ca, '--redis-cert', "$dir/other/tls.crt",
        '--redis-key', "$dir/other/tls.key"),
     qr/unknown ca|decrypt|certificate/i, 'one with a strange one']);
my $known = by('known', $url, @ca, '--redis-cert', "$dir/tls.crt",
               '--redis-key', "$dir/tls.key");
ok($known->wait_metric($up, 1), 'and one with a good one')
    or diag($known->log_text);
is($known->stop, 0, 'it ends');
$picky->stop;


# -- files that are not what they should be -----------------------------------

for my $case (
    ['no CA', ['--redis-ca', "$dir/none"], qr/--redis-ca.*No such file/],
    ['a CA that is none', ['--redis-ca', "$dir/tls.key"],
     qr/--redis-ca.*expected a PEM file/],
    ['a key of another', [@ca, '--redis-cert', "$dir/tls.crt", '--redis-key',
     "$dir/other/tls.key"], qr/--redis-key.*mismatch/],
    ['a certificate that is none', [@ca, '--redis-cert', "$dir/tls.key",
     '--redis-key', "$dir/tls.key"], qr/--redis-cert.*expected a PEM file/])
{
    my ($what, $options, $message) = @$case;
    my $bad = $watch->new_sidecar('bad', nginx => $nginx,
        redis_url => 'rediss://localhost', options => $options);
    my ($text, $status) = command_output($bad->command, '-t');
    is($status >> 8, 1, "$what: refused");
    like($text, $message, "$what: with a reason");
}

$watch->end;

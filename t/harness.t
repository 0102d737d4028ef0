#!/usr/bin/env perl

# A detector that has never detected anything is no evidence: here the parts
# of the harness meet what they are there to find.

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Agent;
use Canary::Chaos;
use Canary::HTTP;
use Canary::Load;
use Canary::Nginx;
use Canary::Oracle;
use Canary::Process qw(alive descendants spawn);
use Canary::Redis;
use Canary::Util qw(command_output pause root slurp spew wait_until);

my $dir = tempdir('canary-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $agent = Canary::Agent->start(dir => $dir, name => 'baseline');


sub load {
    my (%expect) = @_;
    my $load = Canary::Load->start(address => $agent->address, dir => $dir,
                                   expect => \%expect);
    $load->wait_requests(40);
    return $load->stop;
}


# -- the load driver ----------------------------------------------------------

my $result = load(alice => 'baseline', bob => 'baseline');
ok($result->{requests} >= 40, 'the load counts requests');
is($result->{failed} + $result->{moved}, 0, 'and finds nothing');

$result = load(alice => 'baseline', bob => 'candidate');
ok($result->{moved} >= 10, 'the load sees a user on the wrong side');
like($result->{first}[0], qr/^bob went to baseline instead of candidate/,
     'and says which');

$agent->set('error-rate=0.25');
$result = load(alice => 'baseline');
ok($result->{failed} >= 10, 'the load sees failures');
$agent->set('error-rate=0');

my $asking = Canary::Load->start(
    address => $agent->address, dir => $dir, expect => { alice => 1 },
    ask => sub { Canary::HTTP::message('GET', '/health') },
    judge => sub { spew("$dir/told", "$_[0] $_[1]{status}") });
$asking->wait_requests(40);
$asking->stop;
is(slurp("$dir/told"), 'alice 200', 'the load asks and judges as it is told');


# -- the oracle ---------------------------------------------------------------

# made with: printf %s KEY | xxhsum -H3, whose seed is 0
is(sprintf('%016x', Canary::Oracle::xxh3('')), '2d06800538d394c2',
   'XXH3 of nothing');
is((command_output('sh', '-c', "printf alice | xxhsum -H3 -"))[0]
   =~ /([0-9a-f]{16})/ ? $1 : 'none',
   sprintf('%016x', Canary::Oracle::xxh3('alice')),
   'the oracle and xxhsum agree');
is(Canary::Oracle::to_bucket(0), 0, 'the first bucket');
is(Canary::Oracle::to_bucket(~0), 99_999, 'the last one');

my $arms = Canary::Oracle::arms('support', 50, Canary::Oracle::users(1000));
my $half = grep { $_ eq 'candidate' } values %$arms;
ok($half > 400 && $half < 600, 'about half of the users at 50 %');


# -- the log check ------------------------------------------------------------

mkdir "$dir/nginx";
my $nginx = Canary::Nginx->new(dir => $dir);
spew("$dir/nginx/error.log", "x [error] fine\nx [alert] one\n"
     . "==1==ERROR: AddressSanitizer: two\na.c:1: runtime error: three\n");
is(scalar($nginx->complaints), 3, 'grave lines are found');
$nginx->allow_log(qr/\[alert\] one/);
is(scalar($nginx->complaints), 2, 'unless a test expects them');


# -- processes ----------------------------------------------------------------

my $process = spawn('orphan maker', code => sub {
    my $pid = fork;
    die "fork: $!" if !defined $pid;
    if (!$pid) {
        $SIG{TERM} = 'IGNORE';
        pause(1) for 1 .. 600;
    }
    pause(1) for 1 .. 600;
});

ok(wait_until(5, sub { descendants($process->pid) == 1 }), 'a grandchild');
my ($orphan) = map { $_->[0] } descendants($process->pid);
is($process->stop, 15, 'its parent is gone');
ok((grep { $_->[0] == $orphan } descendants()), 'an orphan is still found');

my ($text) = command_output($^X, '-I' . dirname(__FILE__) . '/lib',
    '-MCanary::Process', '-e', 'my $p = Canary::Process::spawn("x",
        command => [$^X, "-e", q($SIG{TERM} = "IGNORE";
                                 select undef, undef, undef, 600)]);
        print $p->pid, "\n"; die "on purpose\n"');
my ($pid) = $text =~ /^(\d+)$/m;
like($text, qr/^on purpose$/m, 'a test that dies');
ok(!alive($pid), 'takes its children with it');
Canary::Process::end_all();
ok(!alive($orphan), 'the orphan is ended');


# -- the chaos proxy ----------------------------------------------------------

my $redis = Canary::Redis->new(dir => $dir)->start;
my $chaos = Canary::Chaos->start(to => $redis->port);


# What a client gets that sends PING and reads until nothing more comes.
sub ping {
    my ($seconds) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                       PeerPort => $chaos->port) or return;
    my $got = '';
    my $eof;

    local $SIG{PIPE} = 'IGNORE';
    $socket->blocking(0);
    syswrite $socket, "PING\r\n";
    wait_until($seconds // 5, sub {
        my $n = sysread $socket, $got, 100, length $got;
        $eof = defined $n ? !$n : !$!{EAGAIN};
        return $eof || $got =~ /\n/;
    });
    return $eof ? "$got<closed>" : $got;
}


is(ping(), "+PONG\r\n", 'pass');
$chaos->set_mode('truncate', 3);
is(ping(), '+PO<closed>', 'truncate');
$chaos->set_mode('inject', 1, '5858');
is(ping(), "+XXPONG\r\n", 'inject');
$chaos->set_mode('close');
is(ping(), '<closed>', 'close');
$chaos->set_mode('reset');
is(ping(), '<closed>', 'reset');
$chaos->set_mode('say', unpack 'H*', "HTTP/1.1 400\n");
is(ping(), "HTTP/1.1 400\n", 'say');
$chaos->set_mode('answer', unpack 'H*', "no\n");
is(ping(), "+PONG\r\n", 'answer');
$chaos->set_mode('stall');
is(ping(0.2), '', 'stall');
$chaos->set_mode('mute');
is(ping(0.2), '', 'mute');
$chaos->set_mode('deaf');
is(ping(0.2), '', 'deaf');
$chaos->set_mode('trickle', 100);
is(ping(), "+PONG\r\n", 'trickle');
$chaos->set_mode('delay', 100);
is(ping(), "+PONG\r\n", 'delay');

my ($accepted, $open) = $chaos->counts;
is($accepted, 12, 'connections are counted');

# -- the benchmark ------------------------------------------------------------

my ($said, $status) = command_output(root() . '/bench/run', 'flip', 'flap');
is($status >> 8, 2, 'an unknown part of the benchmark is an error');
like($said, qr/^bench: unknown part "flap", expected one of: .*\bflip\b/,
     'which quotes it and lists those there are');
($said, $status) = command_output(root() . '/bench/run', '--check', 'flip');
is("$said$status", '0', 'one that is known is none, and nothing is run');

$_->process->stop for $chaos, $redis, $agent;
is(scalar(descendants()), 0, 'nothing is left');
done_testing();

#!/usr/bin/env perl

# A Redis that talks nonsense, or a network that mangles what a good one says.
# The worker that runs the link serves users as well: it must neither die nor
# spin nor wait.  (Rows R3, R6, R7 of the fault matrix.)

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Story;
use Canary::Util qw(slow slurp wait_until);

# One worker: it runs the link and serves all of the load.  A reload gives a
# new one, that does not remember how often it failed: the tries come fast.
my $story = Canary::Story->new(workers => 1);
my $redis = $story->redis;
my $chaos = $story->chaos;
$redis->flag(support => percent => 50);
my $nginx = $story->start;
$nginx->wait_flag('support', state => 'ok') or die 'no flag';
my $load = $story->load($story->expected(50));


# Seconds of CPU the worker has used.
sub cpu {
    my ($worker) = $nginx->workers;
    my @stat = split ' ', slurp("/proc/$worker/stat") =~ s/^.*\) //sr;
    return ($stat[11] + $stat[12]) / 100;
}


sub heals {
    my ($what) = @_;
    $chaos->set_mode('pass');
    ok(wait_until(15, sub {
        my $status = $nginx->status or return;
        $status->{redis}{state} eq 'ready' && $status->{redis}{fresh};
    }), "$what: healed") or diag(explain($nginx->status));
}


# -- nonsense instead of every reply ------------------------------------------

my %nonsense = (
    'an HTTP page'            => "HTTP/1.1 400 Bad Request\r\n\r\n<html>",
    'binary'                  => join('', map { chr } reverse 0 .. 255),
    'nothing but line ends'   => "\r\n" x 100,
    'an unknown type'         => "?what\r\n",
    'a huge array'            => "*2147483647\r\n",
    'a larger array'          => "*9223372036854775807\r\n",
    'a negative array'        => "*-2\r\n",
    'a huge string'           => "\$2147483647\r\n",
    'a string over the limit' => "\$536870912\r\nx",
    'a negative string'       => "\$-7\r\n",
    'a length that is none'   => "\$1x\r\na\r\n",
    'an empty array'          => "*0\r\n" x 8,
    'an array of nothing'     => "*1\r\n*0\r\n" x 8,
    'nils'                    => "\$-1\r\n" x 8,
    'nil arrays'              => "*-1\r\n" x 8,
    'deep arrays'             => "*1\r\n" x 5000,
    'integers'                => ":1\r\n" x 8,
    'a huge integer'          => ":99999999999999999999999\r\n" x 8,
    'statuses'                => "+OK\r\n" x 8,
    'errors'                  => "-ERR no\r\n" x 8,
    'an error with controls'  => "-ERR \x1b[31m\x00\x07\"\xff\r\n" x 8,
    'RESP3: a map'            => "%1\r\n+a\r\n+b\r\n" x 8,
    'RESP3: a push'           => ">2\r\n+invalidate\r\n*0\r\n" x 8,
    'RESP3: a null'           => "_\r\n" x 8,
    'a message unasked'       => "*3\r\n\$7\r\nmessage\r\n"
                               . "\$20\r\n__redis__:invalidate\r\n*-1\r\n" x 8,
    'LOADING'                 => "-LOADING Redis is loading\r\n" x 8,
    'NOAUTH'                  => "-NOAUTH Authentication required.\r\n" x 8,
    'MASTERDOWN'              => "-MASTERDOWN Link with MASTER is down\r\n" x 8,
    'READONLY'                => "-READONLY You can't write\r\n" x 8,
    'CLUSTERDOWN'             => "-CLUSTERDOWN Hash slot not served\r\n" x 8,
    'a line without an end'   => 'x' x 200_000,
    'a status without an end' => '+' . 'x' x 200_000,
);

for my $what (sort keys %nonsense) {
    my $failures = $nginx->status->{redis}{failures};

    $chaos->set_mode('say', unpack 'H*', $nonsense{$what});
    $nginx->reload or die 'no reload';

    my $noticed = wait_until(10, sub {
        my $status = $nginx->status;
        $status->{redis}{failures} >= $failures + 2
            && $status->{redis}{reason} ne '';
    });
    ok($noticed, "$what: refused, with a reason: "
       . $nginx->status->{redis}{reason});
    ok(cpu() < 0.5 * slow(), "$what: the worker does not spin")
        or diag(cpu(), ' s of CPU');
    heals($what) if $what eq 'binary';
}

heals('nonsense');


# -- a good Redis, cut and mangled at many places -----------------------------

sub mangled {
    my (@mode) = @_;
    my ($before) = $chaos->set_mode(@mode);
    $nginx->reload or die 'no reload';
    wait_until(5, sub { ($chaos->counts)[0] > $before + 1 })
        or fail("@mode: no second try");
}

mangled('truncate', $_) for 0 .. 40, map { $_ * 50 } 1 .. 6;
heals('cut after any byte');

for my $bytes (0, 1, 4, 5, 9, 20, 60) {
    mangled('inject', $bytes, unpack 'H*', $_)
        for "\0", '*', "\$-1\r\n", "-ERR\r\n", ":1\r\n",
            "*1\r\n\$7\r\nmessage\r\n";
}

heals('bytes put in anywhere');


# -- slow, stalled, refused ---------------------------------------------------

$chaos->set_mode('delay', 300);
$redis->flag(support => bundle_candidate => 'slow');
ok(wait_until(10, sub {
    ($nginx->flag('support')->{bundle}{candidate} // '') eq 'slow';
}), 'replies 300 ms late are late, not lost');
is($nginx->status->{redis}{state}, 'ready', 'and no reason to give up');

$chaos->set_mode('delay', 3000);
ok(wait_until(10, sub { !$nginx->status->{redis}{fresh} }),
   'replies 3 s late are a fault');
heals('late replies');

$chaos->set_mode('stall');
ok(wait_until(10, sub { $nginx->status->{redis}{state} ne 'ready' }),
   'nothing at all is a fault');
my ($before) = $chaos->counts;
$load->wait_requests(200);
heals('a stalled network');

$chaos->set_mode('trickle', 1);
ok(wait_until(10, sub { $nginx->status->{redis}{state} ne 'ready' }),
   'one byte a second is a fault');
heals('one byte a second');

for my $mode ('reset', 'close') {
    $chaos->set_mode($mode);
    wait_until(10, sub { $nginx->status->{redis}{state} ne 'ready' });
    ($before) = $chaos->counts;
    my $lines = () = $nginx->log_text =~ /\[(?:error|warn)\]/g;
    $load->wait_requests(1200);
    my ($after, $open) = $chaos->counts;
    ok($after - $before < 40, "$mode: it does not connect all the time")
        or diag($after - $before, ' connections in about 3 s');
    my $more = (() = $nginx->log_text =~ /\[(?:error|warn)\]/g) - $lines;
    ok($more < 40, "$mode: nor log all the time") or diag("$more lines");
    heals($mode);
}

# Clients and agents are on unix sockets here: the other sockets of a worker
# belong to the link.  One that comes or goes between the two looks counts as
# well, but not for long.
sub link_sockets {
    my ($pid) = @_;
    my %unix = map { (split)[6] => 1 } split /\n/, slurp('/proc/net/unix');
    return scalar grep { /^socket:\[(\d+)\]/ && !$unix{$1} }
        map { readlink($_) // '' } glob "/proc/$pid/fd/*";
}

$nginx->reload or die 'no reload';
$nginx->wait_redis('ready');
my ($worker) = $nginx->workers;
ok(wait_until(10, sub { link_sockets($worker) == 2 }),
   'the link has two sockets');
for (1 .. 6) {
    my ($accepted) = $chaos->set_mode('reset');
    wait_until(10, sub { ($chaos->counts)[0] > $accepted });
    $chaos->set_mode('pass');
    $nginx->wait_redis('ready');
}
heals('six resets');
ok(wait_until(10, sub { link_sockets($worker) == 2 }),
   'and two afterwards') or diag(link_sockets($worker));

is(($nginx->workers)[0], $worker, 'it has been one worker since');
my $result = $story->end_load($load, 'all of it');
$story->nobody_waited($result, 'no request waited');
$story->end;

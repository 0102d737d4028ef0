#!/usr/bin/env perl

# Workers come and go, with long answers in their hands: what they count stays
# in one tally, nothing is in flight that died, and the guard's sums are right
# through reloads and restarts.  (Rows N1, N3 and S5.)

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Guard qw(rules);
use Canary::HTTP;
use Canary::Ledger;
use Canary::Process qw(alive);
use Canary::Script qw(chunk head wait_file);
use Canary::Story;
use Canary::Util qw(spew wait_until);

my $story = Canary::Story->new(workers => 2, api => 'trip',
    location => 'agent_canary_cost $upstream_http_x_agent_cost_usd;');
my $dir = $story->dir;
my $redis = $story->redis;

# streams that end when their file is there
my $agent = Canary::Script->start(dir => $dir, name => 'script', parts => {
    map { ($_ => [head(200, 'Content-Type: text/event-stream',
                       'Transfer-Encoding: chunked', "X-Cost: 0.5"),
                  chunk("data: 1\n\n"), wait_file("$dir/$_"),
                  chunk("data: 2\n\n") . chunk('')]) } 'a' .. 'f'
});

$story->{http} = <<"END";
    upstream script { server @{[$agent->address]}; }
    proxy_read_timeout 60s;
END
$story->{server} = <<'END';
        location /stream/ {
            agent_canary streams key=$http_x_user_id
                         baseline=script candidate=script;
            agent_canary_cost $upstream_http_x_cost;
            proxy_pass http://agent_canary;
            proxy_buffering off;
        }
END

$redis->flag('streams', percent => 100);
$redis->flag('support', percent => 50, guardrails => rules(
    [metric => 'spend_usd', max => 1_000, per => '1h']));
my $nginx = $story->start;
$nginx->wait_flag($_, state => 'ok') or die "no flag $_"
    for qw(streams support);
# of what is killed, and of nginx about what it leaves open then
$nginx->allow_log(qr/exited on signal 9/, qr/open socket #\d+ left|aborting$/);
my $ledger = Canary::Ledger->new($nginx, 'streams');
my %whole = (cost_known => 1, cost_unpriced => 0, cost_usd => 0.5);


sub open_streams {
    my ($name, $n) = @_;
    my @streams = map {
        my $socket = Canary::HTTP::connect_to($nginx->address);
        syswrite $socket, Canary::HTTP::message('GET', "/stream/$name", undef,
            'X-User-Id' => 'a', Connection => 'close');
        $socket;
    } 1 .. $n;
    my %seen;

    wait_until(10, sub {
        !grep { !($seen{$_} ||= sysread $_, my $bytes, 65_536) } @streams;
    }) or die "no stream $name";
    $ledger->expect('candidate', in_flight => 1, requests => 0,
                    latency_ms => 0, first_byte_ms => 0, cost_unpriced => 0)
        for @streams;
    return @streams;
}


sub ended {
    my ($how, @streams) = @_;
    my %more = $how eq 'whole' ? %whole : (%whole, client_aborts => 1);
    $ledger->expect('candidate', in_flight => -1, %more) for @streams;
}


# What is lost with its worker is counted as nothing.
sub lost {
    my (@streams) = @_;
    $ledger->expect('candidate', in_flight => -1, requests => 0,
                    latency_ms => 0, first_byte_ms => 0, cost_unpriced => 0)
        for @streams;
}


sub old_workers {
    return $nginx->processes(qr/^nginx: worker process is shutting down/);
}


# -- old workers count on -----------------------------------------------------

my $boot_id = $nginx->status->{boot_id};
my %stream;

for my $name ('a' .. 'c') {
    $stream{$name} = [open_streams($name, 4)];
    ok($nginx->reload, "reload with streams, $name");
    $ledger->check("$name: all streams are in flight");
}

for my $name ('b', 'a', 'c') {
    spew("$dir/$name", '');
    ended('whole', @{ $stream{$name} });
    $ledger->check("$name: old workers count where new ones do");
}

ok(wait_until(10, sub { !old_workers() }), 'and then they go');
is($nginx->status->{boot_id}, $boot_id, 'it is one boot');


# -- old workers that die -----------------------------------------------------

for my $signal (qw(KILL TERM)) {
    my @streams = open_streams('d', 4);
    ok($nginx->reload, 'reload');
    ok(wait_until(10, sub { old_workers() }), 'old workers have the streams');
    my @old = old_workers();
    kill $signal, @old;
    ok(wait_until(10, sub { !grep { alive($_) } @old }),
       "they get SIG$signal");
    lost(@streams);
    $ledger->check("SIG$signal: what was in flight died with them");
}


# -- worker_shutdown_timeout --------------------------------------------------

ok($nginx->reload(main => 'worker_shutdown_timeout 300ms;'),
   'worker_shutdown_timeout');
my @cut = open_streams('e', 4);
ok($nginx->reload, 'reload');
ok(wait_until(10, sub { !old_workers() }), 'no old worker lingers');
ended('cut', @cut);
$ledger->check('streams that nginx cuts off are no failures of the arm');
ok($nginx->reload(main => ''), 'reload without it');


# -- all workers at once, and the guard's sums --------------------------------

my @lost = open_streams('f', 4);
my @killed = $nginx->workers;
kill 'KILL', @killed;
ok(wait_until(10, sub {
    my @now = $nginx->workers;
    @now == 2 && !grep { alive($_) } @killed;
}), 'all workers are killed');
lost(@lost);
$ledger->check('nothing is in flight');

$story->agent($_)->set('cost=0.25') for qw(baseline candidate);
my $sidecar = $story->sidecar('guard-a');
my @users = sort keys %{ $story->expected(50) };
my $candidates = grep { $_ eq 'candidate' } values %{ $story->expected(50) };
my $counted = 0;
my $metric = 'agent_canaryd_rule_%s{flag="support",rule="1",'
    . 'metric="spend_usd"}';


sub all_ask {
    my ($what) = @_;
    is(scalar(keys %{ $nginx->arms_of(\@users) }), scalar(@users),
       "$what: all are answered");
    $counted += $candidates;
    ok($sidecar->wait_metric(sprintf($metric, 'requests'), $counted),
       "$what: the guard has counted each once")
        or diag($sidecar->metric(sprintf $metric, 'requests'));
}


all_ask('at first');
ok($nginx->reload, 'reload');
all_ask('after a reload');

kill 'KILL', $nginx->workers;
ok(wait_until(10, sub { $nginx->answers && $nginx->settled }),
   'workers are killed');
all_ask('after that');

is($nginx->stop, 0, 'nginx stops');
$nginx->start;
ok($sidecar->wait_log(qr/nginx started anew/), 'and starts anew');
isnt($nginx->status->{boot_id}, $boot_id, 'which its boot_id tells');
ok($sidecar->wait_metric('agent_canaryd_flag_windows{flag="support"}', 2),
   'it is another one to the guard');
all_ask('after a restart');
is($sidecar->metric(sprintf $metric, 'value'), 0.25 * $counted,
   'and what all of it cost');


# -- old workers obey ---------------------------------------------------------

# A question that is half sent when its worker grows old, and in its hands: it
# has asked for the rest.
my ($unlucky) = grep { $story->expected(50)->{$_} eq 'candidate' } @users;
my @half = map {
    my $socket = Canary::HTTP::connect_to($nginx->address);
    my $bytes = Canary::HTTP::message('POST', '/v1/chat/completions',
        '{"messages":[]}', 'X-User-Id' => $unlucky, Connection => 'close',
        Expect => '100-continue');
    my $in = '';
    syswrite $socket, substr $bytes, 0, -5;
    wait_until(10, sub {
        sysread $socket, $in, 65_536, length $in;
        $in =~ s{^HTTP/1.1 100 Continue\r\n\r\n}{};
    }) or die 'nobody asks for the rest';
    [$socket, substr $bytes, -5];
} 1 .. 6;
ok($nginx->reload, 'reload');
ok(wait_until(10, sub { old_workers() }), 'old workers wait for the rest');

# so that they have to learn both from the memory they share
$redis->flag(support => epoch => 2);
ok($nginx->wait_flag('support', epoch => 2), 'a change');
is(Canary::HTTP::request($nginx->address, 'POST', '/canary/trip',
                         '{"flag":"support","epoch":2}')->{status}, 200,
   'a trip');
my @arms = map {
    my ($socket, $rest) = @$_;
    my ($in, $answer) = ('');
    syswrite $socket, $rest;
    wait_until(10, sub {
        sysread $socket, $in, 65_536, length $in;
        $answer = Canary::HTTP::parse(\$in, 0);
    });
    $answer ? $answer->{headers}{'x-agent'} : 'nobody';
} @half;
is("@arms", 'baseline ' x 5 . 'baseline', 'old workers obey it as well');

$agent->process->stop;
$story->end;

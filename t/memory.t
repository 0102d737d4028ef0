#!/usr/bin/env perl

# Every allocation of a worker fails in turn, alone and with all that follow:
# a request may get an error, but the worker lives, the next one is served,
# and nobody moves.  A reload for which the master has no memory fails.
# (Row N13; the rules alone are tortured in lua-free-tests/test_alloc.c.)

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP qw(encode_json);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Faults;
use Canary::Guard qw(guard_story rules);
use Canary::HTTP;
use Canary::Process qw(alive);
use Canary::Util qw(wait_until);

use constant MOST => 400;                   # allocations of one request

my $story = guard_story(workers => 1, location => '
    agent_canary_override $http_x_arm;
    add_header X-Hash "$agent_canary_key_hash" always;');
my $redis = $story->redis;
my $faults = Canary::Faults->new(dir => $story->dir);
my @flag = (percent => 50, guardrails => rules([metric => 'error_rate',
                                                max => 0.05]),
            tenants => '{"acme":5,"globex":0.5}', stages => '5,50,100');
$redis->flag(support => @flag, epoch => 1, allow => '["ann","bob"]');
my $nginx = $story->nginx;
$faults->with(sub { $story->start });
$nginx->wait_flag('support', state => 'ok') or die 'no flag';
$nginx->allow_log(qr/\[\w+\].*\(12: Cannot allocate memory\)/,
                  qr/\[crit\].* flag "support" stays as it was: /);
my ($worker) = $nginx->workers;
my $victim = $worker;
my $expected = $story->expected(50, 40);
my ($candidate) = grep { $expected->{$_} eq 'candidate' } sort keys %$expected;

my $question = '{"model":"agent","stream":true,"stream_options":'
    . '{"include_usage":true},"messages":[{"role":"user","content":"hi"}]}';
my $epoch = 0;

my %request = (
    'a request'     => sub { ['GET', '/', undef] },
    'a stream'      => sub { ['POST', '/v1/chat/completions', $question] },
    'a long body'   => sub { ['POST', '/v1/chat/completions',
                              $question . ' ' x 40_000] },
    'the status'    => sub { ['GET', '/canary/status', undef] },
    'the metrics'   => sub { ['GET', '/canary/metrics', undef] },
    'explain'       => sub { ['GET', '/canary/explain?flag=support&key=a%20b',
                              undef] },

    # of an epoch that is over: it is taken, and holds for nobody
    'a trip'        => sub { ['POST', '/canary/trip', encode_json({
                              flag => 'support', epoch => 0,
                              percent => 50, at => "$epoch" })] },
);


# Does something with the nth allocation failing from when it calls what it is
# given, until there is no nth one.  Returns how many there were, or nothing
# when it has no end.
sub torture {
    my ($on, $do, $step) = @_;

    for (my $n = 1; $n < MOST; $n += $step // 1) {
        $do->(sub { $faults->arm($victim, $n, $on) });
        return $n - 1 if !$faults->disarm;
        return if !alive($victim);
    }

    return;
}


sub served {
    my ($what) = @_;
    ok(alive($worker), "$what: the worker lives");
    $story->arms_are($expected, "$what: everybody is served as before");
}


# -- requests -----------------------------------------------------------------

# A connection that is closed, an answer, or an error; a trip that could not
# be read looks broken, and is told again.
my %fine = map { $_ => 1 } 0, 200, 400, 500, 502, 503;

for my $name (sort keys %request) {
    for my $on (0, 1) {
        my $what = $name . ($on ? ', from there on' : '');
        my %answers;

        my $n = torture($on, sub {
            my ($arm) = @_;
            my ($method, $path, $body) = @{ $request{$name}->() };
            $arm->();
            my $status = Canary::HTTP::raw($nginx->address,
                Canary::HTTP::message($method, $path, $body,
                    'X-User-Id' => $candidate, Connection => 'close'),
                2)->{status};
            $answers{$status}++;
            $epoch++;
        });

        ok($n, "$what: tortured to the end");
        ok($n && $answers{200}, "$what: answered when memory is enough");
        my @odd = grep { !$fine{$_} } keys %answers;
        is("@odd", '', "$what: nothing but answers and errors");
        note(join ', ', ($n // 'no end') . ' allocations',
             map { "$answers{$_} x $_" } sort keys %answers);
        served($what);
    }
}

ok(wait_until(10, sub {
    my $arms = $nginx->flag('support')->{arms};
    !grep { $_->{in_flight} } values %$arms;
}), 'nothing is in flight');


# -- changes of the flag ------------------------------------------------------

# The link may be lost by it; then it comes back, and reads all anew.
for my $on (0, 1) {
    my $round = 0;
    my $lost = 0;

    my $n = torture($on, sub {
        my ($arm) = @_;
        my $mark = "$on-" . ++$round;
        my $connects = $nginx->status->{redis}{connects};

        $arm->();
        $redis->flag(support => @flag, bundle_candidate => $mark,
                     allow => encode_json(["ann-$round", "bob-$round"]));
        wait_until(0.5, sub { $faults->get('failed') }, 0.001);
        $faults->set(countdown => 0);

        # what was refused for want of memory is read again, soon or now
        $lost++ if !wait_until(20, sub {
            $redis->cmd('SET', 'agent-canary:inited', 1);
            my $flag = $nginx->flag('support');
            $flag->{state} eq 'ok' && $flag->{bundle}{candidate} eq $mark;
        });

        # a worker that fails often waits long before it tries again
        return if $nginx->status->{redis}{connects} == $connects;
        $nginx->reload or die 'no reload';
        ($worker) = $nginx->workers;
        $victim = $worker;
        $nginx->wait_redis('ready') or die 'no link';
    }, $on ? 5 : 2);

    my $what = 'a change of the flag' . ($on ? ', from there on' : '');
    ok($n, "$what: tortured to the end");
    note(($n // 'no end') . ' allocations');
    is($lost, 0, "$what: obeyed in the end");
    served($what);
}

is($nginx->status->{zone}{refused}, 0, 'the zone has refused nothing');


# -- reloads ------------------------------------------------------------------

# Where the price file is read again, and the flags are found in the zone.  Not
# with one failure alone: jansson 2.14 then reads past the end of a name of
# more than 15 bytes, such as those of the price file.
my ($failed, $done) = (0, 0);
$victim = $nginx->process->pid;
$nginx->allow_log(qr/\[emerg\].* invalid price file /);

my $n = torture(1, sub {
    my ($arm) = @_;
    my $logged = length $nginx->log_text;
    my @old = $nginx->workers;

    $arm->();
    $nginx->process->signal('HUP');
    wait_until(10, sub {
        my @now = $nginx->workers;
        $done++, return 1 if $nginx->settled && "@now" ne "@old";
        $failed++, return 1
            if substr($nginx->log_text, $logged) =~ /\[emerg\]/;
        return;
    }, 0.001);
});

ok($n, 'reloads: tortured to the end');
note(($n // 'no end') . " allocations, $failed reloads failed, $done did not");
ok($failed && $done, 'reloads: without memory they fail, and with it do not');
($worker) = $nginx->workers;
served('reloads');
ok($nginx->wait_flag('support', state => 'ok'), 'reloads: the flag is known');
$story->end;

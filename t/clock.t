#!/usr/bin/env perl

# The wall clock jumps, by a day or by ten years, forth and back: whatever is
# measured is measured by a clock that does not.  The link stays, deadlines
# are as long as they are, nobody moves.  (Row N12, of nginx; the sidecar's
# clocks are in sidecar/clock.c.)

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Faults;
use Canary::HTTP;
use Canary::Ledger;
use Canary::Script qw(answer hang);
use Canary::Story;
use Canary::Util qw(slurp wait_until);

my $story = Canary::Story->new(state => 1, workers => 1, api => 'trip');
my $agent = Canary::Script->start(dir => $story->dir, name => 'script',
    parts => { mute => [hang()],
               packed => [answer(200, 'none', 'Content-Type: application/json',
                                 'Content-Encoding: gzip')] });
$story->{http} = <<"END";
    upstream script { server @{[$agent->address]}; }
    agent_canary_unguarded 3s baseline;
    agent_canary_stale 5s baseline;
END
$story->{server} = <<'END';
        location /late/ {
            agent_canary late key=$http_x_user_id
                         baseline=script candidate=script;
            agent_canary_deadline 200ms;
            agent_canary_usage auto;
            proxy_pass http://agent_canary;
        }
        location = /clock {
            return 200 $msec;
        }
END

my $redis = $story->redis;
$redis->flag($_, percent => 50, epoch => 1) for qw(support late);
my $faults = Canary::Faults->new(dir => $story->dir);
my $nginx = $story->nginx;
$faults->with(sub { $story->start });
$nginx->wait_flag($_, state => 'ok') or die "no flag $_" for qw(support late);
my $ledger = Canary::Ledger->new($nginx, 'late');
my $sidecar = $story->sidecar('guard-a');
my $arm = $story->expected(50, 1, 'late')->{'user-00001'};
my $round = 0;

sub reason {
    return $nginx->get('/', 'X-User-Id' => 'user-00001')
        ->{headers}{'x-reason'};
}

sub saved { return !$nginx->status->{state_file}{pending} }

# How often the log has told that an answer cannot be read, after another one.
sub hints {
    $nginx->get('/late/packed', 'X-User-Id' => 'user-00001');
    $ledger->expect($arm);
    $ledger->check('an answer that cannot be read');
    my $n = () = $nginx->log_text =~ /cannot read an answer with/g;
    return $n;
}

ok(wait_until(5, sub { reason() eq 'split' }), 'a sidecar is seen');
my $load = $story->load($story->expected(50));
my $connects = $nginx->status->{redis}{connects};
is(hints(), 1, 'is told of in the log');

for (['a day on', 86_400], ['ten years on', 315_360_000],
     ['ten years back', -315_360_000])
{
    my ($what, $jump) = @$_;

    # something that began before the jump ends after it
    my $socket = Canary::HTTP::connect_to($nginx->address);
    syswrite $socket, Canary::HTTP::message('GET', '/late/mute', undef,
                                            'X-User-Id' => 'user-00001');
    wait_until(5, sub { $ledger->read_arms->{$arm}{in_flight} });

    $faults->clock($jump);
    ok(wait_until(5, sub {
        abs($nginx->get('/clock')->{body} - time - $jump) < 100;
    }), "$what: nginx has the other time");

    $ledger->expect($arm, errors_deadline => 1, in_flight => 1,
                    first_byte_ms => 0, cost_unpriced => 0);
    $ledger->check("$what: a deadline is as long as it is");
    close $socket;
    $ledger->expect($arm, in_flight => -1, requests => 0, latency_ms => 0,
                    first_byte_ms => 0);
    $ledger->check("$what: and over once");

    # some heartbeats later nothing has been missed
    $load->wait_requests(600);
    my $status = $nginx->status;
    ok($status->{redis}{fresh}, "$what: the link is fresh");
    is($status->{redis}{connects}, $connects, "$what: it was never lost");
    cmp_ok($status->{guard}{age_ms}, '<', 3_000, "$what: the sidecar is seen");
    is(reason(), 'split', "$what: nothing is stale or unguarded");

    my $mark = 'round-' . ++$round;
    my $file = (stat $story->state_path)[1];
    $redis->flag(support => bundle_candidate => $mark);
    ok(wait_until(5, sub {
        $nginx->flag('support')->{bundle}{candidate} eq $mark;
    }), "$what: a change arrives");
    ok(wait_until(10, sub { saved() && (stat $story->state_path)[1] != $file }),
       "$what: and is saved");
}

is(hints(), 1, 'it is told of once a minute');
$story->end_load($load, 'all jumps');

# by a clock that does not go back
my $clock = $nginx->status->{clock_ms};
$faults->ticks(61);
ok(wait_until(5, sub { $nginx->status->{clock_ms} > $clock + 61_000 }),
   'a minute on');
is(hints(), 2, 'is told of again');
ok($sidecar->healthy, 'the sidecar is well');
$agent->process->stop;
$story->end;

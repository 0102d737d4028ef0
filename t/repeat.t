#!/usr/bin/env perl

# The errors of one user who tries again and again are told from those of many
# users: what nginx says of it agrees with a table in Perl, whichever worker
# counted.

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::HTTP;
use Canary::Oracle;
use Canary::Script qw(answer hang);
use Canary::Story;
use Canary::Util qw(wait_until);

use constant PLACES => 24;                  # of a table
use constant MIX    => 0x9e3779b9 << 32 | 0x7f4a7c15;

my @events = qw(error denied escalated);
my %parts = (
    ok        => [answer(200, 'fine')],
    error     => [answer(500, 'broken')],
    said      => [answer(200, 'fine', 'X-Outcome: error')],
    denied    => [answer(200, 'fine', 'X-Outcome: denied')],
    escalated => [answer(200, 'fine', 'X-Outcome: escalated')],
    hangs     => [hang()],
);

my $story = Canary::Story->new(workers => 2);
my $agent = Canary::Script->start(dir => $story->dir, name => 'agent',
                                  parts => \%parts);
$story->{http} = <<"END";
    upstream one { server @{[$agent->address]}; }
    upstream two { server @{[$agent->address]}; }
    agent_canary_outcome \$upstream_http_x_outcome;
    agent_canary_deadline 200ms;
    proxy_read_timeout 20s;
END
$story->{server} = <<'END';
        location /repeat/ {
            agent_canary repeat key=$http_x_user_id baseline=one candidate=two;
            proxy_pass http://agent_canary/;
        }
END

$story->redis->flag(repeat => percent => 50, epoch => 1);
my $nginx = $story->start;
ok($nginx->wait_flag('repeat', state => 'ok'), 'the flag is there');


# -- what is expected ---------------------------------------------------------

my @users = Canary::Oracle::users(150);
my %arm = %{ Canary::Oracle::arms('repeat', 50, @users) };
my %hash;
@hash{@users} = Canary::Oracle::hashes('repeat', @users);

my $epoch = 1;
my (%place, %expected, $unseen);

# A user who comes to a place that is taken is followed no further.
sub expect {
    my ($user, $event) = @_;
    my $arm = $arm{$user};
    my $at = "$arm " . place_of($user, $event);

    $place{$at} //= { who => "$user $event $epoch", count => 0 };

    if ($place{$at}{who} ne "$user $event $epoch") {
        $unseen++;
        return;
    }

    my $k = ++$place{$at}{count};
    $expected{$arm}[2 * $event]++;
    $expected{$arm}[2 * $event + 1] += $k**2 - ($k - 1)**2;
}


# The place of a user, which the epoch and the kind of the event move.
sub place_of {
    my ($user, $event) = @_;
    use integer;
    my ($who, $mix) = ($hash{$user} + $epoch, $event * MIX);
    no integer;
    return ($who ^ $mix) % PLACES;
}


sub told {
    my $arms = $nginx->flag('repeat')->{arms} // {};
    return join '; ', map { $arms->{$_}{by_user} // '' }
        qw(baseline candidate);
}


sub wanted {
    return join '; ', map {
        join ',', map { $_ // 0 } @{ $expected{$_} // [0] };
    } qw(baseline candidate);
}


sub agrees {
    my ($what) = @_;
    my $told;

    wait_until(5, sub { ($told = told()) eq wanted() });
    return is($told, wanted(), $what);
}


sub send_event {
    my ($user, $part) = @_;
    my ($event) = grep { $events[$_] eq ($part eq 'said' ? 'error' : $part) }
        0 .. $#events;

    $nginx->get("/repeat/$part", 'X-User-Id' => $user);
    expect($user, $event) if defined $event;
}


# -- one user and many --------------------------------------------------------

send_event($users[0], 'ok') for 1 .. 3;
is(told(), '0; 0', 'who is served has no event');

send_event($users[0], 'error') for 1 .. 3;
agrees('three errors of one user: ' . wanted());

send_event($users[0], 'said');
agrees('one that the agent tells itself is one, too');

send_event($users[0], 'denied') for 1 .. 2;
send_event($users[0], 'escalated');
agrees('refusals are told apart: ' . wanted());

$nginx->get('/repeat/error');
$nginx->get('/repeat/error', 'X-User-Id' => '  ') for 1 .. 2;
send_event($users[1], 'error');
agrees('nobody without a key is followed');

my $hangs = Canary::HTTP::connect_to($nginx->address);
syswrite $hangs, "GET /repeat/hangs HTTP/1.1\r\nHost: localhost\r\n"
    . "X-User-Id: $users[1]\r\n\r\n";
expect($users[1], 0);
agrees('a request that hangs is one at its deadline');
close $hangs;


# -- another epoch ------------------------------------------------------------

$story->redis->flag(repeat => epoch => ++$epoch);
ok(wait_until(5, sub { $nginx->flag('repeat')->{epoch} == $epoch }),
   'another epoch');
my $squares = $expected{ $arm{ $users[0] } }[1];
send_event($users[0], 'error');
agrees('users begin anew: ' . wanted());
is($expected{ $arm{ $users[0] } }[1], $squares + 1, 'with their first one');


# -- more than there are places -----------------------------------------------

srand 11;

for my $user (@users) {
    my $part = $events[rand @events];
    send_event($user, $part) for 0 .. rand 4;
}

agrees('everybody, in clumps: ' . wanted());
cmp_ok($unseen, '>', 10, "$unseen events were of users who are not followed");

ok($nginx->reload, 'a reload');
send_event($users[0], 'error') for 1 .. 2;
agrees('changes nothing');

$agent->process->stop;
$story->end;

#!/usr/bin/env perl

# A trip races an owner who ramps up, a thousand times: each writes what he
# writes without waiting for anybody, in an order of chance, while the link to
# Redis comes and goes.  Not once does the trip lose, and from the moment it
# was seen nobody gets the candidate any more.
#
# CANARY_TEST_SEED=n gives other orders.

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP qw(encode_json);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::HTTP;
use Canary::Redis;
use Canary::Story;
use Canary::Util qw(wait_until);

use constant {
    RACES => 1000,
    FLAG  => 'agent-canary:flag:support',
    TRIP  => 'agent-canary:trip:support',
    PROBE => 'user-00001',
    STEP  => 0.001,
};

my $seed = $ENV{CANARY_TEST_SEED} // 3;
srand $seed;

my $story = Canary::Story->new(workers => 2, api => 'trip');
my $redis = $story->redis;
$redis->flag(support => percent => 100, epoch => 1);
my $nginx = $story->start;

my ($owner, $guard) = map { Canary::Redis::connect_client($redis->port) } 1, 2;
my (%kind, @lost);


# -- what the two do ----------------------------------------------------------

sub pack_command {
    return '*' . @_ . "\r\n"
        . join '', map { '$' . length($_) . "\r\n$_\r\n" } @_;
}


# [replies to come, bytes]: several commands in one write
sub pipeline {
    return [scalar @_, join '', map { pack_command(@$_) } @_];
}


sub hset { return ['HSET', FLAG, @_] }
sub pick { return $_[int rand @_] }


# What an owner may do to a flag other than to raise its epoch.
sub owner_step {
    my ($epoch) = @_;
    my @steps = (
        ['ramp', hset(percent => pick(25, 50, 100))],
        ['the same epoch', hset(epoch => $epoch, percent => 100)],
        ['a lower epoch', hset(epoch => $epoch - 1)],
        ['a ladder', map { hset(percent => $_) } 1, 5, 25, 50, 100],
        ['MULTI', ['MULTI'], hset(percent => 100), hset(epoch => $epoch),
         ['EXEC']],
        ['allow', hset(allow => encode_json([PROBE]))],
        ['DEL of the trip', ['DEL', TRIP]],
        ['a milder trip', ['SET', TRIP, trip($epoch, 100)]],
        ['an older trip', ['SET', TRIP, trip($epoch - 1, 50)]],
        ['made anew', ['MULTI'], ['DEL', FLAG],
         hset(percent => 100, epoch => $epoch), ['EXEC']],
    );

    # dear: see below
    my ($what, @commands) = rand() < 0.01
        ? ('disconnect', ['CLIENT', 'KILL', 'TYPE', 'pubsub'])
        : @{ pick(@steps) };
    return [owner => $what, pipeline(@commands)];
}


# The same text each time.
sub trip {
    my ($epoch, $percent) = @_;
    return qq({"flag":"support","epoch":$epoch,"percent":$percent,)
        . qq("by":"guard"});
}


sub guard_steps {
    my ($epoch) = @_;
    my $post = [guard => 'POST'];
    my $set = [guard => 'SET', pipeline(['SET', TRIP, trip($epoch, 0)])];
    return @{ pick([$post], [$set], [$post, $set], [$set, $post]) };
}


# One order of the two, each in his own.
sub shuffled {
    my ($one, $two) = @_;
    my @steps;

    while (@$one || @$two) {
        push @steps, rand() * (@$one + @$two) < @$one ? shift @$one
                                                      : shift @$two;
    }

    return @steps;
}


# -- what is seen -------------------------------------------------------------

sub explained {
    my ($body) = Canary::HTTP::get($nginx->address,
        '/canary/explain?flag=support&key=' . PROBE)->{body};
    return { $body =~ /"(arm|reason|state|epoch)":"?(\w+)/g };
}


sub post {
    my ($epoch) = @_;
    return Canary::HTTP::request($nginx->address, 'POST', '/canary/trip',
                                 trip($epoch, 0))->{status};
}


sub arm { return $nginx->arm_of(PROBE) // 'nobody' }


# -- one race -----------------------------------------------------------------

# Returns what went wrong, or nothing.
sub race {
    my ($epoch, @steps) = @_;
    my %replies = (owner => 0, guard => 0);
    my $tripped = 0;

    for my $step (@steps) {
        my ($who, $what, $pipeline) = @$step;

        if ($what eq 'POST') {
            my $status = post($epoch);
            return "POST: status $status" if $status != 200;
            $tripped = 1;
        } else {
            my ($n, $bytes) = @$pipeline;
            my $socket = $who eq 'owner' ? $owner : $guard;
            $replies{$who} += $n;
            (syswrite $socket->{socket}, $bytes) == length $bytes
                or die "write: $!";
        }

        # the POST holds at once, whatever Redis says meanwhile
        next if !$tripped;
        my $arm = arm();
        return "$arm after $what" if $arm ne 'baseline';
    }

    for my $who (keys %replies) {
        Canary::Redis::read_reply($who eq 'owner' ? $owner : $guard)
            for 1 .. $replies{$who};
    }

    # what was overwritten before any nginx read it was never there: the guard
    # writes until it reads back what it wrote
    my $wanted = trip($epoch, 0);
    $redis->cmd('SET', TRIP, $wanted)
        if !$tripped && ($redis->cmd('GET', TRIP) // '') ne $wanted;

    # a last write of the owner shows that all before it was read
    my $mark = "race-$epoch";
    $redis->cmd('MULTI');
    $redis->cmd('HSET', FLAG, percent => 100, epoch => $epoch,
                bundle_candidate => $mark);
    $redis->cmd('EXEC');

    my ($status, $lost) = ('', 0);

    wait_until(20, sub {
        $status = Canary::HTTP::get($nginx->address, '/canary/status')->{body};
        my $now = $status =~ /"tripped":true/ ? 1 : 0;
        $lost = 1 if $tripped && !$now;
        $tripped ||= $now;
        return $status =~ /"candidate":"$mark"/;
    }, STEP) or return 'the end is not seen';

    return 'the trip is lost' if $lost || !$tripped;
    return 'the trip is one of another epoch, or milder'
        if $status !~ /"trip":\{"epoch":$epoch,"percent":0,/;

    for my $look (1 .. 2) {
        my $explained = explained();
        return "explained as $explained->{arm}, $explained->{reason}"
            if "$explained->{arm} $explained->{reason}" ne 'baseline tripped';
    }

    my $arm = arm();
    return $arm eq 'baseline' ? undef : "$arm at the end";
}


# Of one to four steps of an owner, and those of the guard.
sub course {
    my ($epoch) = @_;
    my @owner = map { owner_step($epoch) } 1 .. 1 + int rand 4;
    return shuffled(\@owner, [guard_steps($epoch)]);
}


# One that can win: while it races, the probe would be on the candidate.
sub lift {
    my ($epoch) = @_;
    $redis->cmd('MULTI');
    $redis->cmd('HSET', FLAG, percent => 100, epoch => $epoch);
    $redis->cmd('HDEL', FLAG, 'allow');
    $redis->cmd('EXEC');
    return wait_until(20, sub {
        my $explained = explained();
        "@$explained{qw(arm epoch state)}" eq "candidate $epoch ok";
    }, STEP);
}


for my $n (1 .. RACES) {
    my $epoch = 2 * $n + 1;
    lift($epoch) or do { push @lost, "race $n: not lifted"; last };

    my @steps = course($epoch);
    $kind{ $_->[1] }++ for @steps;

    my $wrong = eval { race($epoch, @steps) } // $@;
    push @lost, "race $n, $wrong: " . join(', ', map { "$_->[0] $_->[1]" }
                                           @steps) if $wrong;
    last if @lost >= 5;

    # a worker waits longer before each new try, until one has held for 3 s
    next if !grep { $_->[1] eq 'disconnect' } @steps;
    $nginx->reload && $nginx->wait_redis('ready')
        or do { push @lost, "race $n: the reload has no end"; last };
}

is(scalar(@lost), 0, RACES . ' races, and the trip never lost')
    or diag("seed $seed\n", join "\n", @lost);
ok(!(grep { !$kind{$_} } 'ramp', 'a lower epoch', 'DEL of the trip', 'MULTI',
     'disconnect', 'SET', 'POST'), 'all that may happen has happened')
    or diag(explain(\%kind));
note(join ', ', map { "$kind{$_} $_" } sort keys %kind);
note($nginx->status->{redis}{connects}, ' connections of the link');

$story->end;

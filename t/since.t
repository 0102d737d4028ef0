#!/usr/bin/env perl

# Whoever asks for status?since= is told less and has to know as much: readers
# of any pace agree with the whole status, through changes of every kind,
# reloads, killed workers and lost links.
#
# CANARY_TEST_SEED=n gives another course.

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP qw(decode_json encode_json);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::HTTP;
use Canary::Oracle;
use Canary::Script qw(hang);
use Canary::Story;
use Canary::Util qw(wait_until);

use constant CHANGES => 5000;

my $seed = $ENV{CANARY_TEST_SEED} // 7;
srand $seed;

my @flags = map { "flag-$_" } 'a' .. 'z';
my @users = Canary::Oracle::users(50);

my $story = Canary::Story->new(workers => 3, api => 'trip');
my $mute = Canary::Script->start(dir => $story->dir, name => 'mute',
                                 parts => { stay => [hang()] });
$story->{http} = "upstream mute { server @{[$mute->address]}; }"
    . 'proxy_read_timeout 60s;';


# A location for each of the flags, and one whose answers never come.
sub locations {
    my ($mute, @names) = @_;
    return join '', map { <<"END" } @names;
        location /$_/ {
            agent_canary $_ key=\$http_x_user_id
                         baseline=baseline_agent candidate=candidate_agent;
            proxy_pass http://agent_canary/;
        }
        location /mute-$_/ {
            agent_canary $_ key=\$http_x_user_id
                         baseline=mute candidate=mute;
            proxy_pass http://agent_canary/;
        }
END
}


my $redis = $story->redis;
$story->{server} = locations($mute, @flags);
$redis->flag($_, percent => 50, epoch => 1) for @flags;
my %epoch = map { $_ => 1 } @flags;
my $nginx = $story->start;
my $server = $story->server_conf;
$nginx->allow_log(qr/exited on signal 9/);


# -- the readers --------------------------------------------------------------

# A status: its boot_id, its clock, and the line of each flag.
sub status {
    my ($since) = @_;
    my $path = '/canary/status' . (defined $since ? "?since=$since" : '');

    # one that a worker was told of just before it fell asleep gets no answer
    my $body = Canary::HTTP::raw($nginx->address, Canary::HTTP::message('GET',
        $path, undef, Connection => 'close'), 2)->{body};
    my ($boot, $clock) = $body =~ /"boot_id":"(\w+)".*?"clock_ms":(\d+)/
        or return;
    my ($fresh) = $body =~ /"fresh":(\w+)/;
    my %line = map { /^\{"name":"([\w-]+)"(.*?)(?:,|\]\})?$/ ? ($1, $2) : () }
        split /\n/, $body;
    return { boot => $boot, clock => $clock, fresh => $fresh,
             line => \%line };
}


# As agent-canaryd does: all of it at first, and of another boot.
sub follow {
    my ($reader) = @_;
    my $status = status($reader->{clock}) or return;

    if (($reader->{boot} // '') ne $status->{boot}) {
        $status = status() or return;
        delete $reader->{clock};
    }

    $reader->{line} = {} if !defined $reader->{clock};

    $reader->{news} = keys %{ $status->{line} };
    $reader->{told} += $reader->{news};
    $reader->{reads}++;
    $reader->{line}{$_} = $status->{line}{$_} for keys %{ $status->{line} };
    @$reader{qw(boot clock)} = @$status{qw(boot clock)};
}


# Each after so many changes, the last one when it is compared.
my @readers = map { { every => $_, told => 0, reads => 0 } } 3, 40, 400, 5000;
follow($_) for @readers;

sub quiet {
    return wait_until(5, sub { follow($readers[0]); !$readers[0]{news} });
}


# What a reader and the whole status do not agree on.
sub disagreement {
    my ($reader) = @_;
    follow($reader);
    my $whole = status() or return 'no status';

    for my $name (sort keys %{ $whole->{line} }) {
        my $known = $reader->{line}{$name} // 'nothing';
        return "$name is known as\n$known\nand is\n$whole->{line}{$name}"
            if $known ne $whole->{line}{$name};
    }

    return '';
}


# Changes that are on their way may come between the two: they have to agree
# once nothing is.
sub disagreements {
    return grep { $_ } map {
        my $reader = $_;
        my $last;
        wait_until(5, sub { !($last = disagreement($reader)) })
            ? () : "every $reader->{every} changes: $last";
    } @readers;
}


# -- the changes --------------------------------------------------------------

my (@open, %kind);

sub one { return $_[int rand @_] }

sub ask {
    my ($name) = @_;
    $nginx->get("/$name/", 'X-User-Id' => one(@users));
}


sub trip {
    my ($name) = @_;
    return encode_json({ flag => $name, epoch => $epoch{$name} });
}


my %change = (
    percent  => sub { $redis->flag($_[0], percent => int rand 101) },
    invalid  => sub { $redis->flag($_[0], percent => 'many') },
    epoch    => sub { $redis->flag($_[0], percent => 50,
                                   epoch => ++$epoch{ $_[0] }) },
    lower    => sub { $redis->flag($_[0], epoch => 0) },
    deleted  => sub { $redis->drop_flag($_[0]) },
    trip     => sub { $redis->trip($_[0], trip($_[0])) },
    posted   => sub { Canary::HTTP::request($nginx->address, 'POST',
                                            '/canary/trip', trip($_[0])) },
    open     => sub {
        my $socket = Canary::HTTP::connect_to($nginx->address);
        syswrite $socket, Canary::HTTP::message('GET', "/mute-$_[0]/stay",
            undef, 'X-User-Id' => one(@users));
        push @open, $socket;
    },
    close    => sub { close shift @open if @open },
    reload   => sub { $nginx->reload },
    killed   => sub {
        my $victim = one($nginx->workers) or return;
        kill 'KILL', $victim;
        wait_until(10, sub { !grep { $_ == $victim } $nginx->workers });
    },
    unlinked => sub { $redis->cmd('CLIENT', 'KILL', 'TYPE', 'pubsub') },
);

my @often = (('ask') x 60, ('percent') x 10, ('invalid') x 4, ('epoch') x 6,
             ('lower') x 2, ('deleted') x 3, ('trip') x 4, ('posted') x 3,
             ('open') x 4, ('close') x 4);
my @seldom = qw(reload killed reload unlinked);
my (@busy, @wrong);

# most flags are quiet most of the time, and what they were is what counts
for my $n (1 .. CHANGES) {
    @busy = (one(@flags), one(@flags)) if $n % 400 == 1;
    my $kind = $n % 1000 ? one(@often) : $seldom[$n / 1000 % @seldom];
    $kind{$kind}++;
    ($change{$kind} // \&ask)->(rand() < 0.01 ? one(@flags) : one(@busy));

    follow($_) for grep { $n % $_->{every} == 0 } @readers;

    next if $n % 250;
    @wrong = disagreements();
    last if @wrong;

    # after a reload everybody is told of everything, for a moment
    quiet() if $n % 1000 == 0;
}

is(join("\n", @wrong), '', CHANGES . ' changes, and all readers agree')
    or diag("seed $seed");
ok(!(grep { !$kind{$_} } @often, @seldom), 'of every kind')
    or diag(explain(\%kind));
note(join ', ', map { "$kind{$_} $_" } sort keys %kind);
note("every $_->{every} changes: $_->{reads} readings of $_->{told} flags")
    for @readers;

cmp_ok($readers[0]{told}, '<', 0.75 * $readers[0]{reads} * @flags,
       'who reads often is told of few');

close shift @open while @open;
ok(quiet(), 'and of nothing when it is quiet');
is(join("\n", disagreements()), '', 'and all still agree');


# -- flags that go and come ---------------------------------------------------

ok($nginx->reload(server => $server =~ s/\Q@{[locations($mute, 'flag-a')]}//r),
   'a flag is taken out of the configuration');
is(status()->{line}{'flag-a'}, undef, 'it is no longer there');
is(status(0)->{line}{'flag-a'}, undef, 'for nobody');
delete $_->{clock} for @readers;
is(join("\n", disagreements()), '', 'the others are');
ok(quiet(), 'it is quiet');
ok($nginx->reload(server => $server), 'and put back');
is(join("\n", disagreements()), '', 'all are told of it');


# -- stale by time alone ------------------------------------------------------

# Who holds the link sleeps, as on a machine that has other things to do.
my $holder = wait_until(10, sub {
    my $status = $nginx->status;
    $status->{worker} == 0 && $status->{pid};
});
ok(quiet(), 'quiet');
kill 'STOP', $holder;
sub is_fresh { return (status() // { fresh => '' })->{fresh} }

ok(wait_until(15, sub { is_fresh() eq 'false' }),
   'worker 0 sleeps, and Redis is out of sight');
is(join("\n", disagreements()), '', 'everybody is told that flags are stale');
kill 'CONT', $holder;
ok(wait_until(15, sub { is_fresh() eq 'true' }), 'it is awake');
is(join("\n", disagreements()), '', 'and that they are not');


# -- another boot -------------------------------------------------------------

my ($boot, $clock) = @{ status() }{qw(boot clock)};
is($nginx->stop, 0, 'nginx stops');
$nginx->start;
isnt(status($clock)->{boot}, $boot, 'since= of another boot tells of it');
ok($nginx->wait_flag($_, state => qr/^(?:ok|deleted|invalid)$/), "$_ is read")
    for @flags;
is(join("\n", disagreements()), '', 'all agree again');

for my $since ('99999999999999999999', '-1', '1.5', '%20', '1x') {
    is($nginx->get("/canary/status?since=$since")->{status}, 400,
       "since=$since is refused");
}


# -- some flags, by their names -----------------------------------------------

# The names that are shown to who asks so.
sub shown {
    my ($query) = @_;
    my $answer = $nginx->get("/canary/status?$query");
    return join ' ', $answer->{status} == 200
        ? map { $_->{name} } @{ decode_json($answer->{body})->{flags} }
        : ($answer->{status}, decode_json($answer->{body})->{error});
}

sub named {
    my ($query, $names) = @_;
    is(shown($query), $names, length $query < 60 ? $query
       : substr($query, 0, 60) . '...');
}

ok(quiet(), 'it is quiet');
$clock = status()->{clock};
my $many = join ',', ('flag-a') x 64;

named('flag=flag-c', 'flag-c');
named('flag=flag-z,flag-b', 'flag-b flag-z');
named('flag=flag-z%2Cflag-b', 'flag-b flag-z');
named('flag=flag-c,nobody,flag-c', 'flag-c');
named('flag=nobody', '');
named('flag=flag', '');
named("flag=$many", 'flag-a');
named("flag=flag-c&since=$clock", '');

my $whole = status();
my ($part) = $nginx->get('/canary/status?flag=flag-c')->{body}
    =~ /^\{"name":"flag-c"(.*?)\]\}$/m;
is($part, $whole->{line}{'flag-c'}, 'and as it is shown among all');

ask('flag-b');
ask('flag-c');
is(shown("since=$clock"), 'flag-b flag-c', 'since=: two flags with requests');
named("flag=flag-c,flag-d&since=$clock", 'flag-c');
named("since=$clock&flag=flag-d", '');

my $expected = 'expected names of 1 to 64 of A-Z a-z 0-9 . _ -, with commas '
    . 'between them';

for (['', ''], [',', ''], ['flag-a,', ''], ['flag-a,,flag-b', ''],
     ['flag-a%20', 'flag-a '], ['flag-a,b%22%3Cscript%3E', 'b"<script>'],
     ['flag-a%00', 'flag-a\\x00'], ['x' x 65, 'x' x 65])
{
    my ($value, $quoted) = @$_;
    like(shown("flag=$value"), qr/^400 flag "\Q$quoted\E": \Q$expected\E$/,
         "flag=$value is refused");
}

like(shown("flag=$many,flag-a"), qr/^400 .*flag-a,.*: expected at most 64 names/,
     '65 names are refused');
is($nginx->get("/canary/status?flag=x%20&since=$clock")->{status}, 400,
   'also with since=');

$mute->process->stop;
$story->end;

#!/usr/bin/env perl

# Evidence that rises and is never enough, by the guardrails of an owner: between
# two readings of all flags nginx is asked for such flags alone, and for a few of
# them at most.  All flags are read as often as ever.

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Story;
use Canary::Util qw(slow slurp wait_until);

use constant {
    RULES => '{"rules":[{"metric":"error_rate","max":0.05,'
             . '"min_events":1000000}]}',
    AT_ONCE => 8,                           # flags of a hurried reading
    BETWEEN => 3,                           # such readings, at most
};

my @names = map { "flag-$_" } 'a' .. 'l';
my $story = Canary::Story->new(api => 'trip');
my $asked_log = $story->dir . '/asked.log';

$story->{http} = "log_format asked '\$args';";
$story->{server} = "access_log $asked_log asked if=\$arg_guard;"
    . join '', map { <<"END" } @names;
        location /ill/$_/ {
            agent_canary $_ key=\$http_x_user_id
                         baseline=baseline_agent candidate=candidate_agent;
            proxy_pass http://agent_canary/;
        }
        location /well/$_/ {
            agent_canary $_ key=\$http_x_user_id
                         baseline=baseline_agent candidate=baseline_agent;
            proxy_pass http://agent_canary/;
        }
END

my $redis = $story->redis;
$redis->flag($_, percent => 100, guardrails => RULES) for @names;
$story->agent('candidate')->set('error-rate=1');
my $nginx = $story->start;
my $sidecar = $story->sidecar('one');


# What nginx was asked for: the clock of since=, and the names of flag=.
sub asked {
    return map {
        my ($since) = /(?:^|&)since=(\d+)/;
        my ($names) = /(?:^|&)flag=([^&]*)/;
        { since => $since, flags => [split /,/, $names // ''] };
    } split /\n/, slurp($asked_log);
}


# The names of hurried readings.
sub hurried { return grep { $_ } map { "@{ $_->{flags} }" } asked() }


# Asks for flags until that is so.
sub ask_until {
    my ($how, $names, $done) = @_;
    return wait_until(20 * slow(), sub {
        $nginx->get("/$how/$_/", 'X-User-Id' => 'ann') for @$names;
        $done->();
    });
}


# -- nothing is wrong ---------------------------------------------------------

my $turns = asked();
ok(ask_until('well', \@names, sub { asked() > $turns + 5 }),
   'flags that do well are read');
is(join("\n", hurried()), '', 'all of them, each time');


# -- one flag goes wrong ------------------------------------------------------

ok(ask_until('ill', ['flag-a'], sub { hurried() > 20 }),
   'one that fails is read more often');
is(join("\n", grep { $_ ne 'flag-a' } hurried()), '', 'and no other one');

$redis->flag('flag-b', percent => 7);
ok(ask_until('ill', ['flag-a'], sub {
    ($sidecar->metric('agent_canaryd_flag_percent{flag="flag-b"}') // 0) == 7;
}), 'the others are read as well');
$redis->flag('flag-b', percent => 100);

ok(ask_until('ill', ['flag-a', 'flag-b'],
             sub { grep { $_ eq 'flag-a flag-b' } hurried() }),
   'one that follows joins it, behind what there is more evidence of')
    or diag(join "\n", hurried());


# -- many flags do ------------------------------------------------------------

my $n;
ok(ask_until('ill', \@names, sub {
    $n = () = grep { split(' ') == AT_ONCE } hurried();
    $n > 10;
}), 'of many that fail a few are read more often');
is(scalar(grep { split(' ') > AT_ONCE } hurried()), 0, 'and never more');
is(scalar(grep { split(' ') == AT_ONCE && !/^flag-a / } hurried()), 0,
   'the one with the most evidence first') or diag(join "\n", hurried());


# -- what each reading asks for -----------------------------------------------

my @asked = asked();
my ($row, $longest, @wrong) = (0, 0);

for my $i (0 .. $#asked - 1) {
    my ($this, $next) = @asked[$i, $i + 1];
    my $hurry = @{ $this->{flags} } > 0;

    $row = $hurry ? $row + 1 : 0;
    $longest = $row if $row > $longest;
    push @wrong, $i if $hurry && defined $next->{since}
        && $this->{since} != $next->{since};
}

cmp_ok($longest, '<=', BETWEEN, 'all flags are read after that many');
cmp_ok($longest, '>', 0, 'of which there are some');
is("@wrong", '', 'and from the last time on that all were read');


# -- nothing is left to be taken back -----------------------------------------

$redis->flag($_, percent => 0) for @names;
ok($nginx->wait_flag($_, percent => 0), "$_ is off") for @names;
ok(wait_until(5 * slow(), sub {
    my @now = asked();
    @now > 6 && !grep { @{ $_->{flags} } } @now[-6 .. -1];
}), 'there is no hurry any more');

is($sidecar->metric('agent_canaryd_blind'), 0, 'nginx was in sight');
unlike($sidecar->log_text, qr/does not know it|no data|TRIPPED/,
       'and every flag was');
ok(!$nginx->flag($_)->{tripped}, "$_ is not tripped") for @names;


# -- a long interval ----------------------------------------------------------

is($sidecar->stop, 0, 'it ends');
$redis->flag('flag-c', percent => 100);
$nginx->wait_flag('flag-c', percent => 100);
$story->sidecar('slow', options => ['--interval', '6s']);

ok(ask_until('ill', ['flag-c'], sub {
    slurp($asked_log) =~ /^guard=slow&.*&flag=flag-c$/m;
}), 'a quarter of a long interval is no reason to forget the hurry');

$story->end;

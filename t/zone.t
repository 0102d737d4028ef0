#!/usr/bin/env perl

# A zone that is full refuses what does not fit, by name and number, and
# nothing else: other flags, traffic and trips go on.  (Row N8.)

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP qw(encode_json);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Story;
use Canary::Util qw(wait_until);

my $story = Canary::Story->new(zone => '64k', workers => 2, server => <<'END');
        location /other {
            agent_canary other key=$http_x_user_id
                         baseline=baseline_agent candidate=candidate_agent;
            proxy_pass http://agent_canary;
        }
END
my $redis = $story->redis;
$redis->flag(support => percent => 50, epoch => 1);
$redis->flag(other => percent => 10);
my $nginx = $story->start;
$nginx->wait_flag('support', state => 'ok') or die 'no flag';
my $load = $story->load($story->expected(50));


sub list {
    my ($n) = @_;
    return encode_json([map { "no-such-user-$_" } 1 .. $n]);
}


$redis->flag(support => allow => list(10_000));
ok($nginx->wait_flag('support', state => 'no_memory', reason => qr/no room/),
   'a list that does not fit is told');
ok($nginx->status->{zone}{refused} > 0, 'and counted');
ok($nginx->wait_log(qr/\[error\].*"support" is no_memory/), 'and logged');
is($nginx->flag('support')->{allow}, 0, 'what was known stays');
like($nginx->get('/canary/metrics')->{body},
     qr/agent_canary_flag_state\{flag="support",state="no_memory"\} 1/,
     'the metrics say it');

$redis->flag(other => percent => 60);
ok($nginx->wait_flag('other', percent => 60), 'other flags change');

# the latch must not need the room that is not there
$story->end_load($load, 'a full zone');
$redis->trip(support => '{"epoch":1,"percent":0}');
ok($nginx->wait_flag('support', tripped => 1), 'a trip is obeyed');
$story->arms_are($story->expected(0), 'by all');

my $lines = () = $nginx->log_text =~ /no_memory/g;
my $reads = $nginx->status->{redis}{reads};
wait_until(12, sub { $nginx->status->{redis}{reads} >= $reads + 4 });
my $more = (() = $nginx->log_text =~ /no_memory/g) - $lines;
ok($more <= 2, 'it is not logged again and again') or diag("$more lines");

my $http = $story->http_conf =~ s/canary:64k/canary:4m/r;
ok($nginx->reload(http => $http), 'reload with a larger zone');
ok($nginx->wait_flag('support', state => 'ok'), 'heals it');
is($nginx->flag('support')->{allow}, 10_000, 'the list is there');
ok($nginx->flag('support')->{tripped}, 'and the trip');
$story->arms_are($story->expected(0), 'still holds');

# 100,000 entries in a list, and the last of them is found
$redis->flag(support => epoch => 2, percent => 0, allow => list(100_000));
$http =~ s/canary:4m/canary:32m/;
ok($nginx->reload(http => $http), 'reload with a large zone');
ok($nginx->wait_flag('support', state => 'ok', allow => 100_000),
   '100,000 entries');
is($nginx->arm_of('no-such-user-100000'), 'candidate', 'the last one counts');
is($nginx->arm_of('no-such-user-100001'), 'baseline', 'the next one does not');
$story->end;

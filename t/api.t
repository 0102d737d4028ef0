#!/usr/bin/env perl

# What the API tells: people and programs steer by it, so it has to be valid
# JSON and valid Prometheus text, whatever the requests held.

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP qw(decode_json);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::HTTP;
use Canary::Story;
use Canary::Util qw(command_output slurp spew);

my $location = 'agent_canary_override $http_x_override;';
my $server = <<'END';
        location /other {
            agent_canary other key=$http_x_user_id
                         baseline=baseline_agent candidate=candidate_agent;
            proxy_pass http://agent_canary;
        }
END

my $story = Canary::Story->new(state => 1, location => $location,
                               server => $server);
my $redis = $story->redis;

$redis->flag(support => percent => '12.5', epoch => 7, mode => 'guarded',
             stages => '5,50,100', bundle_baseline => 'v41',
             bundle_candidate => "v42 \"beta\" \xc3\xbc",
             allow => '["alice","bob"]', deny => '["carol"]',
             tenants => '{"acme":50}', shadow => 1, owner => 'me');
my $nginx = $story->start;
$nginx->wait_flag('support', state => 'ok');


sub json {
    my ($path, $status) = @_;
    my $answer = $nginx->get($path);
    is($answer->{status}, $status // 200, "status of $path");
    is($answer->{headers}{'content-type'}, 'application/json', 'is JSON');
    return eval { decode_json($answer->{body}) } // {};
}


# -- status -------------------------------------------------------------------

my $status = json('/canary/status');

like($status->{version}, qr/^\d+\.\d+\.\d+$/, 'version');
like($status->{nginx}, qr/^1\.\d+\.\d+$/, 'the version of nginx');
like($status->{boot_id}, qr/^[0-9a-f]{32}$/, 'boot_id');
is($status->{redis}{state}, 'ready', 'redis: ready');
ok($status->{redis}{age_ms} < 5000, 'redis: confirmed lately');
like($status->{redis}{address}, qr/127\.0\.0\.1:@{[$redis->port]}/,
     'redis: where');
is($status->{redis}{reason}, '', 'redis: nothing to complain of');
ok($status->{redis}{connects} >= 1, 'redis: connects');
ok($status->{redis}{reads} >= 2, 'redis: reads');
is($status->{zone}{name}, 'canary', 'zone: name');
is($status->{zone}{size}, 4 * 1024 * 1024, 'zone: size');
is($status->{zone}{refused}, 0, 'zone: nothing refused');
is($status->{state_file}{path}, $story->state_path, 'state file: path');
is($status->{state_file}{failures}, 0, 'state file: no failure');

my ($flag) = grep { $_->{name} eq 'support' } @{ $status->{flags} };
is($flag->{state}, 'ok', 'flag: state');
is($flag->{percent}, 12.5, 'flag: percent');
ok($flag->{enabled}, 'flag: enabled');
is($flag->{epoch}, 7, 'flag: epoch');
is_deeply($flag->{stages}, [5, 50, 100], 'flag: stages');
is($flag->{mode}, 'guarded', 'flag: mode');
is_deeply($flag->{bundle}, { baseline => 'v41',
                             candidate => "v42 \"beta\" \x{fc}" },
          'flag: bundles, escaped');
is("@$flag{qw(allow deny tenants)}", '2 1 1', 'flag: sizes of its lists');
is($flag->{unknown_field}, 'owner', 'flag: a field nobody reads is told');
is($flag->{trip}, undef, 'flag: not tripped');
is_deeply($flag->{decisions}, { baseline => {}, candidate => {} },
          'flag: no decision yet');

$nginx->get('/', 'X-User-Id' => 'alice') for 1 .. 3;
$nginx->get('/', 'X-User-Id' => 'carol');
$nginx->get('/');
$nginx->get('/', 'X-User-Id' => 'user-00002', 'X-Override' => 'candidate');

is_deeply($nginx->flag('support')->{decisions},
          { baseline => { targeting_match => 1, targeting_key_missing => 1 },
            candidate => { targeting_match => 3, override => 1 } },
          'decisions are counted by arm and reason');

my ($other) = grep { $_->{name} eq 'other' } @{ $status->{flags} };
is($other->{state}, 'deleted', 'a flag nobody created');


# -- explain ------------------------------------------------------------------

sub explain_is {
    my ($query, $wanted) = @_;
    my $got = json("/canary/explain?$query");
    is_deeply({ map { $_ => $got->{$_} } keys %$wanted }, $wanted,
              "explain $query");
}

my $bucket = Canary::Oracle::bucket('support', 'alice');

explain_is('flag=support&key=alice',
           { flag => 'support', arm => 'candidate', bucket => $bucket,
             reason => 'targeting_match', cohort => 50, epoch => 7,
             state => 'ok' });
explain_is('flag=support&key=%20alice%09', { bucket => $bucket });
explain_is('flag=support&key=zoe', { reason => 'split', percent => 12.5 });
explain_is('flag=support&key=zoe&tenant=acme', { percent => 50 });
explain_is('flag=support&key=zoe&override=candidate',
           { arm => 'candidate', reason => 'override' });
explain_is('flag=support', { reason => 'targeting_key_missing',
                             bucket => undef, cohort => undef });
explain_is('flag=other&key=alice', { arm => 'baseline', reason => 'default' });
explain_is('flag=support&key=k%C3%BCche%00%ff',
           { bucket => Canary::Oracle::bucket('support',
                                              "k\xc3\xbcche\x00\xff") });

my $before = $nginx->flag('support')->{decisions};
json('/canary/explain?flag=support&key=alice');
is_deeply($nginx->flag('support')->{decisions}, $before,
          'explain counts nothing');

for (['flag=nobody&key=a', 'nobody'], ['key=a', 'flag'],
     ['flag=support&key=a&override=both', 'both'],
     ['flag=%22%3Cscript%3E%00&key=a', '<script>'])
{
    my ($query, $quoted) = @$_;
    like(json("/canary/explain?$query", 400)->{error}, qr/\Q$quoted\E/,
         "explain $query: an error that quotes it");
}


# -- metrics ------------------------------------------------------------------

my $metrics = $nginx->get('/canary/metrics');
is($metrics->{status}, 200, 'metrics');
like($metrics->{headers}{'content-type'}, qr{^text/plain; version=0\.0\.4},
     'metrics: type');

spew($story->dir . '/metrics', $metrics->{body});
my ($text, $code) = command_output('sh', '-c',
    'promtool check metrics < ' . $story->dir . '/metrics');
is($code, 0, 'promtool finds nothing') or diag($text);
is($text, '', 'not even a remark');

for (['agent_canary_redis_up', 1],
     ['agent_canary_flag_percent{flag="support"}', '12.5'],
     ['agent_canary_flag_epoch{flag="support"}', 7],
     ['agent_canary_flag_tripped{flag="support"}', 0],
     ['agent_canary_flag_state{flag="support",state="ok"}', 1],
     ['agent_canary_flag_state{flag="other",state="deleted"}', 1],
     ['agent_canary_decisions_total{flag="support",arm="candidate",'
      . 'reason="targeting_match"}', 3])
{
    my ($series, $value) = @$_;
    like($metrics->{body}, qr/^\Q$series $value\E$/m, "metrics: $series");
}

$redis->trip(support => '{"epoch":7,"by":"test"}');
ok($nginx->wait_flag('support', tripped => 1), 'tripped');
is($nginx->flag('support')->{trip}{record}{by}, 'test', 'status: by whom');
is($nginx->flag('support')->{trip}{lift},
   'redis-cli HSET agent-canary:flag:support epoch 8',
   'status: how it is lifted');
like($nginx->get('/canary/metrics')->{body},
     qr/^agent_canary_flag_tripped\{flag="support"\} 1$/m, 'metrics: tripped');


# -- what it refuses ----------------------------------------------------------

json('/canary/', 404);
json('/canary/nothing', 404);
json('/canary/statusx', 404);

for my $method (qw(POST PUT DELETE)) {
    is(Canary::HTTP::request($nginx->address, $method, '/canary/status', '')
       ->{status}, 405, "$method is not allowed");
}

my $head = Canary::HTTP::raw($nginx->address,
    "HEAD /canary/status HTTP/1.0\r\n\r\n");
is($head->{status}, 200, 'HEAD');

is($nginx->get('/canary/status')->{status}, 200, 'and it goes on');
$story->end;

#!/usr/bin/env perl

# POST .../trip is the rollback that needs no Redis: it has to work at once on
# every worker and outlive whatever comes, and nothing but a good trip may
# move it.

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP qw(decode_json encode_json);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::HTTP;
use Canary::Script qw();
use Canary::Story;
use Canary::Util qw(slow slurp wait_until);

my $story = Canary::Story->new(state => 1, workers => 4, server => <<"END");
        location /guard/ {
            agent_canary_api trip;
            client_body_timeout @{[300 * slow()]}ms;
        }
        location /other {
            agent_canary other key=\$http_x_user_id
                         baseline=baseline_agent candidate=candidate_agent;
            proxy_pass http://agent_canary;
        }
END
my $redis = $story->redis;
$redis->flag(support => percent => 50, epoch => 5);
$redis->flag(other => percent => 50, epoch => 5);
my $nginx = $story->start;
$nginx->wait_flag($_, state => 'ok') or die "no flag $_" for qw(support other);

my $half = $story->expected(50);
my $nobody = $story->expected(0);


sub post {
    my ($body, @headers) = @_;
    return Canary::HTTP::request($nginx->address, 'POST', '/guard/trip', $body,
                                 @headers);
}


sub trip { return post(encode_json({ flag => 'support', by => 'test', @_ })) }


# What a trip may move.
sub latches {
    return [map { my $flag = $nginx->flag($_);
                  { map { $_ => $flag->{$_} }
                    qw(trip tripped state epoch percent) } }
            qw(support other)];
}


# -- what is refused, and moves nothing ---------------------------------------

my $before = latches();
my $good = encode_json({ flag => 'support', epoch => 5 });

for (['GET', '/guard/trip', 404], ['HEAD', '/guard/trip', 404],
     ['PUT', '/guard/trip', 405], ['DELETE', '/guard/trip', 405],
     ['POST', '/guard/status', 405], ['POST', '/guard/xtrip', 405],
     ['POST', '/canary/trip', 405, qr/agent_canary_api trip/],
     ['GET', '/canary/trip', 404, qr/expected a POST/])
{
    my ($method, $path, $status, $reason) = @$_;
    my $answer = Canary::HTTP::request($nginx->address, $method, $path, $good);
    is($answer->{status}, $status, "$method $path");
    like($answer->{body}, $reason, "$method $path: told why") if $reason;
}

my $long = 'x' x 1_000_000;

for (['empty', '', qr/trip.*expected a JSON object/],
     ['blank', " \n", qr/expected a JSON object/],
     ['no JSON', 'epoch=5', qr/"epoch=5": expected a JSON object/],
     ['cut', substr($good, 0, -1), qr/expected a JSON object/],
     ['more', "$good$good", qr/expected a JSON object/],
     ['NUL', "$good\0", qr/expected a JSON object/],
     ['a list', "[$good]", qr/flag/],
     ['a text', '"support"', qr/expected a JSON object/],
     ['not UTF-8', qq({"flag":"\xff","epoch":5}), qr/expected a JSON object/],
     ['too deep', '[' x 1_000, qr/nested too deeply/],
     ['no flag', '{"epoch":5}', qr/flag "": expected a flag/],
     ['another flag', '{"flag":"nobody","epoch":5}', qr/flag "nobody"/],
     ['a flag and more', '{"flag":"support\u0000","epoch":5}', qr/flag/],
     ['a number', '{"flag":5,"epoch":5}', qr/flag "5": expected a flag/],
     ['two flags', '{"flag":"support","flag":"other","epoch":5}',
      qr/duplicate/],
     ['no epoch', '{"flag":"support"}', qr/trip epoch/],
     (map { [$_, qq({"flag":"support","epoch":$_}), qr/trip epoch.*expected 0/]
      } '-1', '5.0', '5e0', '"5"', 'null', 'true', '[]', '1000000000000000',
      '1e308'),
     (map { [$_, qq({"flag":"support","epoch":$_}), qr/expected a JSON/] }
      '1' . '0' x 30, '5a', 'NaN'),
     (map { [$_, qq({"flag":"support","epoch":5,"percent":$_}),
             qr/trip percent/] } '-1', '101', '"5"', '0.0001', 'null', '[]'))
{
    my ($what, $body, $pattern) = @$_;
    my $answer = post($body);
    my $text = eval { decode_json($answer->{body})->{error} } // '';
    is($answer->{status}, 400, "$what: refused");
    like($text, $pattern, "$what: told why");
}

for (['65537 bytes', "$good" . ' ' x 70_000], ['a megabyte', $long]) {
    my ($what, $body) = @$_;
    my $answer = post($body);
    is($answer->{status}, 413, "$what: refused");
    like($answer->{body}, qr/"error":"trip: expected at most 65536 bytes"/,
         "$what: told why");
}

sub post_chunked {
    my ($body, $end) = @_;
    return Canary::HTTP::raw($nginx->address,
        "POST /guard/trip HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n"
        . join('', map { Canary::Script::chunk($_) }
               unpack '(a1000)*', $body) . $end);
}

my $chunked = post_chunked($long, "0\r\n\r\n");
is($chunked->{status}, 413, 'a megabyte in chunks: refused');
like($chunked->{body}, qr/expected at most 65536 bytes/, 'told why');
is(post_chunked($good, "x\r\n\r\n")->{status}, 400, 'broken chunks');

# nginx itself closes the connection without a word
is_deeply(Canary::HTTP::raw($nginx->address, "POST /guard/trip HTTP/1.1\r\n"
                            . "Host: a\r\nContent-Length: 100\r\n\r\n$good"),
          { status => 0, headers => {}, body => '' },
          'a body that does not come to its end');

is_deeply(latches(), $before, 'nothing has moved');
$story->arms_are($half, 'nobody either');
is($nginx->get('/guard/status')->{status}, 200,
   'the other endpoints are there, too');


# -- a trip -------------------------------------------------------------------

my $answer = trip(epoch => 4);
is($answer->{status}, 200, 'a trip of an older epoch');
$story->arms_are($half, 'does not hold');

$answer = trip(epoch => 5, percent => 30, reason => 'error_rate');
is($answer->{status}, 200, 'a step back');
is($answer->{headers}{'content-type'}, 'application/json', 'is answered');
is_deeply(decode_json($answer->{body}), { applied => JSON::PP::true },
          'as applied');
$story->arms_are($story->expected(30), 'holds at once, on all workers');

my $flag = $nginx->flag('support');
ok($flag->{tripped}, 'the status knows');
is("@{ $flag->{trip} }{qw(epoch percent)}", '5 30', 'epoch and percent');
is($flag->{trip}{record}{reason}, 'error_rate', 'and why');
ok(!$nginx->flag('other')->{tripped}, 'another flag is not tripped');

is(trip(epoch => 5)->{status}, 200, 'all the way');
$story->arms_are($nobody, 'nobody is left');

for ([5, 0], [5, 50], [4, 0]) {
    my ($epoch, $percent) = @$_;
    is_deeply(decode_json(trip(epoch => $epoch, percent => $percent)->{body}),
              { applied => JSON::PP::false },
              "epoch $epoch, percent $percent: holds already");
}

$answer = post_chunked(encode_json({ flag => 'other', epoch => 5 }),
                       "0\r\n\r\n");
is($answer->{status}, 200, 'in chunks');
ok($nginx->flag('other')->{tripped}, 'another flag');

# no evidence is too long for what a record may hold
$answer = trip(epoch => 6, evidence => 'x' x 60_000);
is($answer->{status}, 200, 'with 60 KB of evidence')
    or diag($answer->{body});
is(length($nginx->flag('support')->{trip}{record}{evidence} // ''), 60_000,
   'which the status shows');


# -- and what it outlives -----------------------------------------------------

sub holds {
    my ($what) = @_;
    ok($nginx->flag('support')->{tripped}, "$what: tripped");
    $story->arms_are($nobody, "$what: nobody gets the candidate");
}

ok($nginx->reload, 'reload');
holds('a reload');

$redis->flag(support => percent => 100);
ok($nginx->wait_flag('support', percent => 100), 'a blind ramp');
holds('a blind ramp');

$redis->stop;
ok(wait_until(10, sub { !$nginx->status->{redis}{fresh} }), 'Redis is gone');
holds('Redis away');

is(trip(epoch => 7)->{status}, 200, 'a trip while Redis is away');
is($nginx->flag('support')->{trip}{epoch}, 7, 'is taken');

ok(wait_until(10, sub { !$nginx->status->{state_file}{pending} }),
   'the state file is written');
is($nginx->stop, 0, 'nginx stops');
$nginx->start;
holds('a restart without Redis');
is($nginx->flag('support')->{trip}{epoch}, 7, 'from the state file');

$redis->start;
$redis->{inited} = 0;
$nginx->wait_redis('ready') or die 'no Redis';
ok($nginx->wait_flag('support', state => 'store_empty'),
   'Redis is back, and empty');
holds('an empty Redis');

$redis->flag(support => percent => 100, epoch => 7);
ok($nginx->wait_flag('support', state => 'ok'), 'a flag of the same epoch');
holds('the same epoch');

$redis->flag(support => percent => 50, epoch => 8);
ok($nginx->wait_flag('support', epoch => 8), 'a higher epoch');
$story->arms_are($half, 'lifts it');


# -- many at once -------------------------------------------------------------

my @status;

Canary::HTTP::sweep(
    address => $nginx->address, items => [1 .. 200], connections => 16,
    make => sub { Canary::HTTP::message('POST', '/guard/trip', encode_json({
        flag => $_[0] % 2 ? 'support' : 'other', epoch => 8 + $_[0] })) },
    answer => sub { $status[ $_[1]{status} ]++ });

is(($status[200] // 0) + ($status[503] // 0), 200,
   'of many trips at once each is taken, or told to come again');
ok($status[200] >= 100, 'most are taken');
holds('many trips');
ok($nginx->flag($_)->{trip}{epoch} > 190, "$_: the latest of them")
    for qw(support other);

$story->end;

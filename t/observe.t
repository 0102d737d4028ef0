#!/usr/bin/env perl

# What became of a request decides whether a candidate lives: every fate is
# counted once, as what it was, for the arm that served.  A failure that nginx
# hides or logs as a success counts; what a client did does not.
# (Rows U1 to U8, N1, N3.)

use strict;
use warnings;

use File::Basename qw(dirname);
use List::Util qw(max sum0);
use Test::More;
use Time::HiRes qw(time);

use lib dirname(__FILE__) . '/lib';
use Canary::HTTP;
use Canary::Ledger;
use Canary::Process qw(alive);
use Canary::Script qw(answer chunk hang head reset wait_file);
use Canary::Story;
use Canary::Util qw(free_port slow slurp spew wait_until);

use constant HEAD_MS => 300;                # proxy_read_timeout below
use constant LARGE => 1_000_000;            # more than a socket holds

my $story = Canary::Story->new(workers => 2);
my $dir = $story->dir;
my $redis = $story->redis;
my $sse = 'Content-Type: text/event-stream';
my $chunked = 'Transfer-Encoding: chunked';

my %parts = (
    ok         => [answer(200, 'fine')],
    not_found  => [answer(404, 'none')],
    limited    => [answer(429, 'later')],
    teapot     => [answer(418, 'tea')],
    broken     => [answer(500, 'broken')],
    gateway    => [answer(502, 'of its own')],
    overloaded => [answer(503, 'later')],
    timeout    => [answer(504, 'of its own')],
    odd        => [answer(507, 'odd')],
    empty      => [head(204)],
    same       => [head(304, 'ETag: "a"')],
    moved      => [answer(302, '', 'Location: /elsewhere')],

    mute       => [hang()],
    closes     => [],
    resets     => [reset()],
    half_head  => ["HTTP/1.1 200 OK\r\nContent-"],
    cacheable  => [answer(200, 'fine', 'Cache-Control: max-age=60')],
    big_head   => [head(200, 'X-Big: ' . 'x' x 1_000_000)],

    short      => [head(200, 'Content-Length: 100000') . 'x' x 1_000],
    cut        => [head(200, $sse, $chunked) . chunk("data: 1\n\n")],
    cut_reset  => [head(200, $sse, $chunked) . chunk("data: 1\n\n"), reset()],
    stalls     => [head(200, $sse, $chunked) . chunk("data: 1\n\n"), hang()],

    stream     => [head(200, $sse, $chunked) . chunk("data: 1\n\n"),
                   wait_file("$dir/go"), chunk("data: 2\n\n") . chunk('')],
    late       => [wait_file("$dir/go-late"), answer(200, 'late')],
    late_error => [wait_file("$dir/go-late"), answer(500, 'late')],

    large      => [answer(200, 'x' x LARGE)],
    accel      => [answer(200, '', 'X-Accel-Redirect: /inner/ok')],
    file       => [answer(200, '', 'X-Accel-Redirect: /broken/broken')],
    (map { ("said_$_" => [answer(200, 'fine', "X-Outcome: $_")]) }
         qw(success error denied escalated Denied ok)),
    said_nothing => [answer(200, 'fine', 'X-Outcome:')],
    said_garbage => [answer(200, 'fine', "X-Outcome: \xff\"'" . 'x' x 1_000)],
    refused    => [answer(403, 'no', 'X-Outcome: denied')],
);

my %cost = (
    zero => '0', cents => '0.0125', dollars => '3', limit => '1000000',
    negative => '-1', plus => '+1', nan => 'nan', inf => 'inf',
    exponent => '1e308', absurd => '9' x 400, above => '1000000.01',
    empty => '', text => 'cheap', hex => '0x10', comma => '0,5',
    points => '1.2.3', point => '.5', open => '1.', spaces => '1 2',
    tiny => '0.' . '0' x 300 . '1',
    python => '1e-05', tenth => '2.5E-1', hundreds => '5e+2', same => '7e00',
    none => '3e-999', too_much => '1.1e6', infinite => '1e999',
    digits => '1e-0005', bare => '1e', sign => '1e-', first => 'e5',
    half => '1e0.5', twice => '1e1e1', signs => '1e--5',
    late_point => '1.e5',
);
$parts{"cost_$_"} = [answer(200, 'fine', "X-Cost: $cost{$_}")] for keys %cost;

my %agent = map {
    $_ => Canary::Script->start(dir => $dir, name => "$_-part",
                                parts => \%parts)
} qw(baseline candidate);

my @port = (free_port(), free_port());      # where nobody listens
my $both = 'baseline=b candidate=c';

$story->{http} = <<"END";
    upstream b { server @{[$agent{baseline}->address]}; }
    upstream c { server @{[$agent{candidate}->address]}; }
    upstream gone { server 127.0.0.1:$port[0]; }
    upstream c_retry {
        server 127.0.0.1:$port[0] max_fails=0;
        server @{[$agent{candidate}->address]} backup;
    }
    upstream dead {
        server 127.0.0.1:$port[0] max_fails=1 fail_timeout=1h;
        server 127.0.0.1:$port[1] max_fails=1 fail_timeout=1h;
    }
    agent_canary_override \$http_x_arm;
    agent_canary_outcome \$upstream_http_x_outcome;
    agent_canary_cost \$upstream_http_x_cost;
    proxy_read_timeout @{[HEAD_MS * slow()]}ms;
    proxy_next_upstream off;
    proxy_cache_path $dir/cache keys_zone=cache:1m;
    log_format told '\$uri \$agent_canary_upstream';
END

my %location = (
    fate => '', hold => 'proxy_read_timeout 20s;',
    plain => 'proxy_buffering off;',
    codes => 'agent_canary_errors 418 404;',
    dry => 'agent_canary_dry_run on;',
    none => 'agent_canary_outcome ""; agent_canary_cost "";',
    deadline => 'agent_canary_deadline 150ms; proxy_read_timeout 20s;',
    deadline_plain => 'agent_canary_deadline 150ms; proxy_read_timeout 20s;'
                      . ' proxy_buffering off;',
    deadline_upload => 'agent_canary_deadline 150ms; proxy_read_timeout 20s;'
                       . ' proxy_request_buffering off;',
    deadline_mirror => 'agent_canary_deadline 150ms; proxy_read_timeout 20s;'
                       . ' mirror /mute;',
    intercept => 'proxy_intercept_errors on; error_page 500 502 504 /sorry;',
    codes_page => 'agent_canary_errors 418; proxy_intercept_errors on;'
                  . ' error_page 418 /sorry;',
    fallback => 'proxy_intercept_errors on; error_page 418 500 = @other;',
    lost => 'proxy_intercept_errors on; error_page 418 = @lost;'
            . ' error_page 404 = @torn;',
    (map { ("then_$_" => 'proxy_intercept_errors on;'
                         . " error_page 418 = \@then_$_;") }
         qw(denied paid)),
    again => 'proxy_intercept_errors on; error_page 404 = @again;',
    after => 'post_action @lost;',
    mirrored => 'mirror /mirror;',
    checked => 'auth_request /check;',
    logged => 'log_subrequest on; auth_request /check;',
    cached => 'proxy_cache cache; proxy_cache_key $agent_canary_upstream$uri;',
    told => 'agent_canary_deadline 150ms; access_log told.log told;',
    late => 'agent_canary_deadline 1s;',
);

sub place {
    my ($name, $arms, $more) = @_;
    return <<"END";
        location /$name/ {
            agent_canary fate key=\$http_x_user_id $arms;
            proxy_pass http://agent_canary;
            $more
        }
END
}

$story->{server} = join('', map { place($_, $both, $location{$_}) }
                            sort keys %location)
    . place('refused', 'baseline=b candidate=gone', '')
    . place('retry', 'baseline=b candidate=c_retry',
            'proxy_next_upstream error timeout http_500;')
    . place('dead', 'baseline=b candidate=dead',
            'proxy_next_upstream error;')
    . <<'END';
        location /variable/ {
            agent_canary fate key=$http_x_user_id baseline=b candidate=c;
            proxy_pass http://$agent_canary_upstream;
            proxy_cache cache;
            proxy_cache_key $agent_canary_upstream$uri;
            add_header X-Upstream $agent_canary_upstream;
        }
        location /elsewhere/ {
            agent_canary fate key=$http_x_user_id baseline=b candidate=c;
            agent_canary_deadline 150ms;
            access_log told.log told;
            add_header X-Upstream $agent_canary_upstream;
            proxy_pass http://b;
        }
        location = /sorry { return 200 "sorry"; }
        location @other { proxy_pass http://b; }
        location @lost { rewrite ^ /broken break; proxy_pass http://b; }
        location @then_denied {
            rewrite ^ /said_denied break;
            proxy_pass http://b;
        }
        location @then_paid { rewrite ^ /cost_cents break; proxy_pass http://b; }
        location @torn { rewrite ^ /cut break; proxy_pass http://b; }

        # the arm once more
        location @again {
            agent_canary fate key=$http_x_user_id baseline=b candidate=c;
            rewrite ^ /broken break;
            proxy_pass http://agent_canary;
        }
        location /variable_again/ {
            agent_canary fate key=$http_x_user_id baseline=b candidate=c;
            proxy_pass http://$agent_canary_upstream;
            proxy_intercept_errors on;
            error_page 404 = @variable_again;
        }
        location @variable_again {
            agent_canary fate key=$http_x_user_id baseline=b candidate=c;
            rewrite ^ /broken break;
            proxy_pass http://$agent_canary_upstream;
        }
        location /mirror { internal; proxy_pass http://gone; }
        location /mute {
            internal;
            proxy_read_timeout 1s;
            proxy_pass http://b/mute;
        }
        location /check { internal; proxy_pass http://b/ok; }
        location /inner/ { internal; proxy_pass http://b; }
        location /broken/ { internal; proxy_pass http://b; }

        # another backend comes first
        location /first/ {
            proxy_pass http://gone;
            error_page 502 = @then;
        }
        location @then {
            agent_canary fate key=$http_x_user_id baseline=b candidate=c;
            rewrite ^/first(/.*) $1 break;
            proxy_pass http://agent_canary;
        }

        # one arm after the other, of two flags
        location /two/ {
            agent_canary second key=$http_x_user_id baseline=b candidate=b;
            proxy_pass http://agent_canary;
            proxy_intercept_errors on;
            error_page 404 = @fate;
        }
        location @fate {
            agent_canary fate key=$http_x_user_id baseline=gone candidate=gone;
            proxy_pass http://agent_canary;
        }

        # only a subrequest goes to an arm
        location /guarded/ {
            auth_request /agent_check;
            proxy_pass http://gone;
        }
        location /agent_check {
            internal;
            agent_canary fate key=$http_x_user_id baseline=b candidate=c;
            proxy_pass http://agent_canary/ok;
        }
        location /guarded_by_error/ {
            auth_request /agent_error;
            proxy_pass http://b/ok;
        }
        location /agent_error {
            internal;
            agent_canary fate key=$http_x_user_id baseline=b candidate=c;
            proxy_pass http://agent_canary/broken;
        }
END

my %users = (candidate => 'c', baseline => 'somebody');

$redis->flag($_, percent => 0, allow => '["c"]') for qw(fate second);
$redis->flag('support', percent => 50);
my $nginx = $story->start;
$nginx->wait_flag($_, state => 'ok') or die "no flag $_"
    for qw(fate second support);
my $ledger = Canary::Ledger->new($nginx, 'fate');


# fate(arm, path, status, { what is expected }, headers): two tests
sub fate {
    my ($arm, $path, $status, $expect, @headers) = @_;
    my $answer = $nginx->get($path, 'X-User-Id' => $users{$arm}, @headers);
    is($answer->{status}, $status, "$path, $arm: status");
    $ledger->expect($arm, %$expect);
    $ledger->check("$path, $arm: counted");
    return $answer;
}


sub raw_request {
    my ($path, $user) = @_;
    my $socket = Canary::HTTP::connect_to($nginx->address);
    syswrite $socket, Canary::HTTP::message('GET', $path, undef,
                                            'X-User-Id' => $user);
    return $socket;
}


sub uncounted {
    my ($nginx) = @_;
    my ($n) = $nginx->get('/canary/metrics')->{body}
        =~ /^agent_canary_uncounted_total (\d+)/m;
    return $n;
}

sub in_flight { return $ledger->read_arms->{ $_[0] }{in_flight} // 0 }


# -- statuses -----------------------------------------------------------------

for my $arm (qw(baseline candidate)) {
    fate($arm, '/fate/ok', 200, {});
    fate($arm, '/fate/broken', 500, { errors_status => 1 });
}

fate('candidate', "/fate/$_->[0]", $_->[1], { errors_status => 1 })
    for [gateway => 502], [overloaded => 503], [timeout => 504];
fate('candidate', "/fate/$_->[0]", $_->[1], {})
    for [not_found => 404], [limited => 429], [teapot => 418], [odd => 507],
        [empty => 204], [same => 304], [moved => 302];

fate('candidate', '/codes/teapot', 418, { errors_status => 1 });
fate('candidate', '/codes/not_found', 404, { errors_status => 1 });
fate('candidate', '/codes/broken', 500, {});

my $head = Canary::HTTP::raw($nginx->address,
    "HEAD /fate/ok HTTP/1.0\r\nX-User-Id: c\r\n\r\n");
is($head->{status}, 200, 'HEAD');
$ledger->expect('candidate');
$ledger->check('HEAD: counted');


# -- no answer ----------------------------------------------------------------

my %silent = (first_byte_ms => 0);

fate('candidate', '/refused/ok', 502, { errors_connect => 1, %silent });
fate('candidate', '/fate/mute', 504, { errors_timeout => 1, %silent });
fate('candidate', "/fate/$_", 502, { errors_connect => 1, %silent })
    for qw(closes resets half_head big_head);


# -- broken off after the header, which nginx logs as 200 ---------------------

for my $location (qw(fate plain)) {
    fate('candidate', "/$location/$_", 0, { errors_stream => 1 })
        for qw(short cut cut_reset stalls);
}

fate('candidate', '/plain/ok', 200, {});


# -- retries, and what nginx does with failures -------------------------------

fate('candidate', '/retry/ok', 200, { errors_connect => 1 });
fate('candidate', '/dead/ok', 502, { errors_connect => 1, %silent });
fate('candidate', '/dead/ok', 502, { errors_connect => 1, %silent });

fate('candidate', '/intercept/broken', 500, { errors_status => 1 });
fate('candidate', '/intercept/mute', 504, { errors_timeout => 1, %silent });
fate('candidate', '/codes_page/teapot', 418, { errors_status => 1 });
fate('candidate', '/codes_page/ok', 200, {});
fate('candidate', '/fallback/broken', 500, { errors_status => 1 });
fate('candidate', '/fate/accel', 200, {});
fate('candidate', '/variable/ok', 200, {});

# who comes after the arm fails on his own account
fate('candidate', '/lost/teapot', 500, {});
fate('candidate', '/lost/not_found', 0, {});
fate('candidate', '/after/ok', 200, {});
fate('candidate', '/fate/file', 500, {});
fate('candidate', '/again/not_found', 500, { errors_status => 1 });
fate('candidate', '/variable_again/not_found', 500, { errors_status => 1 });
fate('candidate', '/variable/broken', 500, { errors_status => 1 });

fate('candidate', '/first/ok', 200, {});
fate('candidate', '/first/broken', 500, { errors_status => 1 });

my $second = Canary::Ledger->new($nginx, 'second');
$second->expect('candidate');
fate('candidate', '/two/not_found', 502, { errors_connect => 1, %silent });
$second->check('/two/: the failure of the second arm is not of the first');


# -- subrequests --------------------------------------------------------------

fate('candidate', "/$_/ok", 200, {}) for qw(mirrored checked logged);
fate('candidate', '/logged/broken', 500, { errors_status => 1 });
fate('candidate', '/guarded/ok', 502, {});
fate('candidate', '/guarded_by_error/ok', 500, { errors_status => 1 });


# -- told of, but never there -------------------------------------------------

# whoever is logged with his arm does not go there for that: he may have gone
# elsewhere, or have given up in the middle of his question
sub told {
    my ($line) = @_;
    my $log = "$nginx->{home}/told.log";
    ok(wait_until(5, sub { (slurp($log) // '') =~ /^\Q$line\E$/m }),
       "logged: $line") or diag(slurp($log));
}

$nginx->get('/elsewhere/ok', 'X-User-Id' => 'c');
told('/elsewhere/ok c');
my $upload = Canary::HTTP::connect_to($nginx->address);
syswrite $upload, "POST /told/upload HTTP/1.1\r\nHost: localhost\r\n"
    . "X-User-Id: c\r\nContent-Length: 100\r\n\r\nhalf of";
close $upload;
told('/told/upload c');
$ledger->check('which counts as nothing, and is not in flight');
fate('candidate', '/told/ok', 200, {});


for my $location (qw(cached variable)) {
    fate('candidate', "/$location/cacheable", 200, {});
    is($nginx->get("/$location/cacheable", 'X-User-Id' => 'c')->{status}, 200,
       "$location: out of the cache");
    $ledger->check("$location: which is no answer of the arm");
}


# -- outcome ------------------------------------------------------------------

fate('candidate', '/fate/said_success', 200, {});
fate('candidate', '/fate/said_error', 200, { errors_in_band => 1 });
fate('candidate', '/fate/said_denied', 200, { denied => 1 });
fate('baseline', '/fate/said_denied', 200, { denied => 1 });
fate('candidate', '/fate/said_escalated', 200, { escalated => 1 });
fate('candidate', '/fate/refused', 403, { denied => 1 });
fate('candidate', "/fate/said_$_", 200, {}) for qw(Denied ok nothing garbage);
fate('candidate', '/none/said_denied', 200, {});
fate('candidate', '/then_denied/teapot', 200, {});
like($nginx->log_text, qr/agent_canary_outcome "Denied" is ignored/,
     'a word that is none is told');


# -- cost ---------------------------------------------------------------------

my %known = (cost_known => 1, cost_unpriced => 0);

# all caps are above these
for (['zero', 0], ['cents', 0.0125], ['tiny', 0], ['python', 1e-5],
     ['tenth', 0.25], ['same', 7], ['none', 0])
{
    my ($name, $usd) = @$_;
    fate('candidate', "/fate/cost_$name", 200, { %known, cost_usd => $usd });
}

for my $name (qw(negative plus nan inf exponent absurd above empty text hex
                 comma points point open spaces too_much infinite digits bare
                 sign first half twice signs late_point))
{
    fate('candidate', "/fate/cost_$name", 200, {});
}

fate('candidate', '/none/cost_cents', 200, {});
fate('candidate', '/then_paid/teapot', 200, {});
like($nginx->log_text, qr/agent_canary_cost "nan" is ignored/,
     'a cost that is none is told');
fate('candidate', '/fate/cost_dollars', 200, { %known, cost_usd => 3 });
fate('candidate', '/fate/cost_limit', 200, { %known, cost_usd => 1_000_000 });
fate('candidate', '/fate/cost_hundreds', 200, { %known, cost_usd => 500 });

my $arm = $nginx->flag('fate')->{arms}{candidate};
ok($arm->{cost_capped_usd} <= 5 * $arm->{cost_cap_usd}
   && $arm->{cost_capped_usd} > $arm->{cost_cap_usd},
   'no single cost decides: they are capped')
    or diag("$arm->{cost_capped_usd}, cap $arm->{cost_cap_usd}");


# -- which arm ----------------------------------------------------------------

fate('candidate', '/fate/ok', 200, { overrides => 1 },
     'X-Arm' => 'candidate');
$users{other} = $users{candidate};
$nginx->get('/fate/ok', 'X-User-Id' => 'c', 'X-Arm' => 'baseline');
$ledger->expect('baseline', overrides => 1);
$ledger->check('an override counts on the arm it forced');

$nginx->get('/fate/ok');
$ledger->expect('baseline', keyless => 1);
$ledger->check('a request without a key');

is($nginx->get('/dry/broken', 'X-User-Id' => 'c')->{status}, 500, 'dry run');
$ledger->expect('baseline', errors_status => 1);
$ledger->check('a dry run counts on the arm that served');


# -- clients ------------------------------------------------------------------

sub abort_when {
    my ($path, $arm, $ready, $expect) = @_;
    my $socket = raw_request($path, $users{$arm});
    ok(wait_until(5, sub { $ready->($socket) }), "$path: in flight");
    close $socket;
    $ledger->expect($arm, client_aborts => 1, %$expect);
    $ledger->check("$path: the client has gone");
}

sub has_head {
    my ($socket) = @_;
    return sysread $socket, my $bytes, 65_536;
}

my %seen;

# For a condition on several of them.
sub has_head_once {
    my ($socket) = @_;
    return $seen{$socket} ||= has_head($socket);
}

abort_when('/hold/mute', 'candidate', sub { in_flight('candidate') == 1 },
           \%silent);
abort_when('/hold/stalls', 'candidate', \&has_head, {});
is(in_flight('candidate'), 0, 'nothing is in flight');


# -- deadlines ----------------------------------------------------------------

my %missed = (errors_deadline => 1, first_byte_ms => 0, cost_unpriced => 0);
my $slow = raw_request('/deadline/late', 'c');
my $failing = raw_request('/deadline/late_error', 'c');
my $leaving = raw_request('/deadline/mute', 'c');

$ledger->expect('candidate', %missed, in_flight => 1) for 1 .. 3;
$ledger->check('at its deadline a request counts as an error');

close $leaving;
$ledger->expect('candidate', requests => 0, latency_ms => 0,
                first_byte_ms => 0, in_flight => -1);
$ledger->check('not again when the client goes');

spew("$dir/go-late", '');
ok(wait_until(5, sub { has_head_once($slow) && has_head_once($failing) }),
   'both are answered');
$ledger->expect('candidate', requests => 0, latency_ms => 0,
                first_byte_ms => 0, in_flight => -1) for 1 .. 2;
$ledger->check('and not again at its end');

# who waits for the client, or for a mirror, does not wait for the arm
sub deadline_passes {
    my ($what) = @_;
    my $hanging = raw_request('/deadline/mute', 'c');
    $ledger->expect('candidate', %missed, in_flight => 1);
    $ledger->check("$what: not at the deadline");
    close $hanging;
    $ledger->expect('candidate', requests => 0, latency_ms => 0,
                    first_byte_ms => 0, in_flight => -1);
    $ledger->check("$what: and in flight");
}

for my $location (qw(deadline deadline_plain)) {
    my $reader = raw_request("/$location/large", 'c');
    my $left = LARGE;
    my $read = sub { $left -= has_head($reader) // 0 };
    ok(wait_until(5, sub { $read->() < LARGE }), "$location: a slow reader");
    $ledger->expect('candidate', requests => 0, cost_unpriced => 0,
                    latency_ms => 0, first_byte_ms => 0, in_flight => 1);
    deadline_passes("$location: a slow reader");
    ok(wait_until(20, sub { $read->() <= 0 }), "$location: reads on");
    $ledger->expect('candidate', in_flight => -1);
    $ledger->check("$location: when he has read it all");
}

my $writer = Canary::HTTP::connect_to($nginx->address);
syswrite $writer, "POST /deadline_upload/ok HTTP/1.1\r\nHost: localhost\r\n"
    . "X-User-Id: c\r\nConnection: close\r\nContent-Length: 7\r\n\r\nhal";
$ledger->expect('candidate', requests => 0, cost_unpriced => 0,
                latency_ms => 0, first_byte_ms => 0, in_flight => 1);
$ledger->check('a slow writer is in flight');
deadline_passes('a slow writer');
syswrite $writer, 'f of';
ok(wait_until(5, sub { has_head($writer) }), 'a slow writer: is answered');
close $writer;                          # nginx may linger for him
$ledger->expect('candidate', in_flight => -1);
$ledger->check('a slow writer: when he has written it all');

fate('candidate', '/deadline_mirror/ok', 200, {});
fate('candidate', '/deadline/ok', 200, {});
fate('candidate', '/deadline/broken', 500, { errors_status => 1 });


# -- latencies ----------------------------------------------------------------

sub observations {
    my ($arm, $field) = @_;
    my @n = split /,/, $nginx->flag('support')->{arms}{$arm}{$field};
    return map { (2 ** ($_ / 4)) x $n[$_] } 0 .. $#n;
}

my %ms = (baseline => 50, candidate => 200);
my $fifty = $story->expected(50, 12);
$story->agent($_)->set("latency=$ms{$_}") for keys %ms;
$nginx->arms_of([sort keys %$fifty]);

for my $arm (sort keys %ms) {
    my $n = grep { $_ eq $arm } values %$fifty;

    for my $field (qw(first_byte_ms latency_ms)) {
        my @seen;
        ok(wait_until(5, sub { (@seen = observations($arm, $field)) == $n }),
           "$arm, $field: all are there");
        my @wrong = grep { $_ < $ms{$arm} || $_ > $ms{$arm} * 3 * slow() }
            @seen;
        is("@wrong", '', "$arm, $field: about $ms{$arm} ms");
    }
}

$story->agent($_)->set('latency=0') for keys %ms;


# -- in flight, and workers that are killed -----------------------------------

sub open_streams {
    my ($n) = @_;
    my @streams = map { raw_request('/hold/stream', 'c') } 1 .. $n;
    ok(wait_until(5, sub { !grep { !($_ && has_head_once($_)) } @streams }),
       "$n streams are open");
    return @streams;
}

# new workers in other slots than the first ones, which are free then
ok($nginx->reload, 'reload');
ok(wait_until(10, sub { $nginx->settled }), 'the old workers are gone');

my @streams = open_streams(6);
is(in_flight('candidate'), 6, 'streams are in flight');

$nginx->allow_log(qr/worker process \d+ exited on signal 9/);
my @killed = $nginx->workers;
kill 'KILL', @killed;
ok(wait_until(10, sub {
    my @now = $nginx->workers;
    @now == 2 && !grep { alive($_) } @killed;
}), 'both workers were killed');
ok(wait_until(5, sub { in_flight('candidate') == 0 }),
   'what was in flight died with them')
    or diag('in flight: ', in_flight('candidate'));
$ledger->check('and was counted as nothing');

@streams = open_streams(4);
is(in_flight('candidate'), 4, 'streams of the new workers');
spew("$dir/go", '');
$ledger->expect('candidate') for 1 .. 4;
$ledger->check('end, and are in flight no more');


# -- reloads under load -------------------------------------------------------

my @growing = grep { !/cap_usd|in_flight/ }
    keys %{ $nginx->flag('support')->{arms}{baseline} };

sub sums {
    my $arms = $nginx->flag('support')->{arms};
    return { map { my $arm = $_;
                   map { ("$arm $_" => sum0(split /,/, $arms->{$arm}{$_})) }
                       @growing } keys %$arms };
}

my $boot_id = $nginx->status->{boot_id};
my $began = sums();
my $missed = uncounted($nginx);
my $load = $story->load($story->expected(50), rate => 500, keepalive => 0);
my ($backwards, $before) = (0, $began);
my ($clock, %known_flag) = ('');

sub superseded {
    my ($n) = $nginx->get('/canary/metrics')->{body}
        =~ /^agent_canary_superseded_total\{flag="fate",arm="candidate"\} (\d+)/m;
    return $n // -1;
}

# as a sidecar does that asks only for what is new
sub scrape {
    my $answer = $nginx->get("/canary/status?since=$clock");
    my $status = JSON::PP::decode_json($answer->{body});
    $clock = $status->{clock_ms};
    $known_flag{ $_->{name} } = $_ for @{ $status->{flags} };
    return map { $_->{name} } @{ $status->{flags} };
}

for my $round (1 .. 20) {
    $nginx->reload or die "reload $round did not end";
    my $now = sums();
    $backwards++ if grep { $now->{$_} < $before->{$_} } keys %$now;
    $before = $now;
    scrape();
}

my $result = $story->end_load($load, '20 reloads');
my $counted;

is($backwards, 0, 'tallies never go backwards');
ok(wait_until(5, sub {
    my $now = sums();
    $counted = sum0(map { $now->{"$_ requests"} - $began->{"$_ requests"} }
                    qw(baseline candidate));
    $counted + uncounted($nginx) - $missed == $result->{requests};
}), 'every request of old and new workers is counted once')
    or diag("counted $counted of $result->{requests}");

# the first of a worker and flag does not wait while another process writes
ok(uncounted($nginx) < 10, 'or told to be uncounted');
is($nginx->status->{boot_id}, $boot_id, 'the boot_id is the same');

scrape();
is_deeply($known_flag{support}{arms}, $nginx->flag('support')->{arms},
          'who asks since= has missed nothing');
ok(wait_until(5, sub { !scrape() }), 'and is told of nothing when it is quiet');

$nginx->get('/', 'X-User-Id' => 'one');
ok(wait_until(5, sub { "@{[scrape()]}" eq 'support' }),
   'since=: a flag with a new request');
ok(wait_until(5, sub { !scrape() }), 'quiet');

my $open = raw_request('/hold/mute', 'c');
ok(wait_until(5, sub { "@{[scrape()]}" eq 'fate' }),
   'since=: a request that is in flight');
is($known_flag{fate}{arms}{candidate}{in_flight}, 1, 'which the gauge tells');
ok(wait_until(5, sub { !scrape() }), 'quiet');
close $open;
$ledger->expect('candidate', client_aborts => 1, %silent);
$ledger->check('it is given up');

# what began before the epoch rose is no evidence of the candidate after it
my @began = map { raw_request($_, 'c') } '/hold/mute', '/late/mute';
ok(wait_until(5, sub {
    $nginx->flag('fate')->{arms}{candidate}{in_flight} == 2;
}), 'two requests hang');
$redis->flag('fate', epoch => 1);
$nginx->wait_flag('fate', epoch => 1);
ok(wait_until(10, sub { superseded() == 1 }), 'one is beyond its deadline');
close $_ for @began;
ok(wait_until(5, sub { superseded() == 2 }), 'and the other one ends');
$ledger->check('they are no evidence of a later epoch');
ok($nginx->reload, 'a reload');
is(superseded(), 2, 'which forgets none of them');

$redis->flag('second', percent => 1);
ok(wait_until(5, sub { grep { $_ eq 'second' } scrape() }),
   'since=: a flag that changed');
is($nginx->get('/canary/status?since=x')->{status}, 400, 'since=x');

is($nginx->stop, 0, 'nginx stops');
$nginx->start;
isnt($nginx->status->{boot_id}, $boot_id, 'a restart has another boot_id');
is($nginx->flag('fate')->{arms}, undef, 'and counts anew');


# -- without a place to count in ----------------------------------------------

sub tiny {
    my ($name, %how) = @_;
    my $http = $story->http_conf;
    $http =~ s/canary:4m/canary:$how{zone}/ if $how{zone};
    return Canary::Nginx->new(dir => $dir, name => $name, workers => 1,
                              http => $http,
                              server => ($how{server} // '')
                                        . $story->server_conf);
}

# 8 slots for one worker, and 12 workers
my $crowded = tiny('crowded')->start;
$crowded->wait_flag('support', state => 'ok') or die 'no flag';
ok($crowded->reload(workers => 12), 'more workers than slots');
my @users = map { "user-$_" } 1 .. 200;
my $arms;
ok(wait_until(10, sub {
    $arms = $crowded->arms_of(\@users);
    keys %$arms == @users && uncounted($crowded);
}), 'all are served, some are not counted');
like($crowded->log_text, qr/all 8 slots of the zone are taken/, 'and it says so');
is($crowded->stop, 0, 'it ends cleanly');
is_deeply([$crowded->complaints], [], 'nothing grave in its log');

# each reload leaves a worker behind that has still an answer to give
my $filled = tiny('filled')->start;
$filled->wait_flag('support', state => 'ok') or die 'no flag';
unlink "$dir/go";
my @answers;

for (1 .. 8) {
    my $socket = Canary::HTTP::connect_to($filled->address);
    syswrite $socket, Canary::HTTP::message('GET', '/hold/stream', undef,
                                            'X-User-Id' => 'c');
    push @answers, $socket;
    wait_until(10, sub { has_head_once($socket) }) or die 'no stream';
    $filled->reload or die 'no reload';
}

$filled->get('/fate/ok', 'X-User-Id' => 'c');
is(uncounted($filled), 1, 'the last worker finds no place');
spew("$dir/go", '');
ok(wait_until(20, sub { $filled->settled }), 'the old ones end');
ok(wait_until(10, sub {
    my $before = $filled->flag('fate')->{arms}{candidate}{requests};
    $filled->get('/fate/ok', 'X-User-Id' => 'c');
    $filled->flag('fate')->{arms}{candidate}{requests} == $before + 1;
}), 'and the last one has found one');
is($filled->stop, 0, 'it ends cleanly');
is_deeply([$filled->complaints], [], 'nothing grave in its log');

# a page for each flag that is counted: not for so many
my @more = map { "more$_" } 1 .. 8;
my $full = tiny('full', zone => '32k', server => join '', map { <<"END" } @more)
        location /$_ {
            agent_canary $_ key=\$http_x_user_id baseline=b candidate=c;
            proxy_pass http://agent_canary/ok;
        }
END
    ->start;
my $served = 0;

for my $flag (@more) {
    $served++ if $full->get("/$flag", 'X-User-Id' => 'c')->{status} == 200;
}

is($served, 8, 'a full zone: all are served');
my $tallied = grep { $_->{arms} } @{ $full->status->{flags} };
ok($tallied < 8, 'not every flag has a place to be counted in');
is(uncounted($full), 8 - $tallied, 'what is not counted is told');
is($full->stop, 0, 'it ends cleanly');
is_deeply([$full->complaints], [], 'nothing grave in its log');

$_->process->stop for values %agent;
$story->end;

#!/usr/bin/env perl

# Tokens, costs and failures are read from answers while they pass: not one
# byte may change or wait for it, however it is cut, and what a model writes
# must not pass for what its API says.  (Rows U3, U5.)

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Fcntl qw(O_NONBLOCK O_WRONLY);
use File::Basename qw(dirname);
use IO::Compress::Gzip qw(gzip);
use JSON::PP qw(decode_json encode_json);
use List::Util qw(sum0);
use POSIX qw(mkfifo);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::HTTP;
use Canary::Ledger;
use Canary::Nginx;
use Canary::Script qw(answer chunk drip head);
use Canary::Story;
use Canary::Util qw(command_output free_port root slurp spew wait_until);

my $packages = root() . '/build/npm';
-d "$packages/node_modules/\@anthropic-ai"
    or BAIL_OUT("$packages is not complete, \"make test\" installs it");

my $port = free_port();
my $story = Canary::Story->new(workers => 2);
my $dir = $story->dir;
my $redis = $story->redis;


# -- what the agents say ------------------------------------------------------

# Every one of these took 1000 tokens, 400 of them from a cache, and made 200.
my %chat = (model => 'm1', object => 'chat.completion');
my %chat_usage = (prompt_tokens => 1000, completion_tokens => 200,
                  total_tokens => 1200,
                  prompt_tokens_details => { cached_tokens => 400 });
my %response = (object => 'response', model => 'm1', status => 'completed');
my %response_usage = (input_tokens => 1000, output_tokens => 200,
                      total_tokens => 1200,
                      input_tokens_details => { cached_tokens => 400 });
my %message = (type => 'message', role => 'assistant', model => 'm1');
my %message_usage = (input_tokens => 600, cache_read_input_tokens => 400,
                     output_tokens => 200);
my %gemini_usage = (promptTokenCount => 1000, cachedContentTokenCount => 400,
                    candidatesTokenCount => 150, thoughtsTokenCount => 50,
                    totalTokenCount => 1200);

# as a model would write it that wants to look cheap
my $lie = encode_json({ usage => { prompt_tokens => 1, completion_tokens => 1,
                                   input_tokens => 1, output_tokens => 1 },
                        model => 'free', error => { code => 1 },
                        usageMetadata => { promptTokenCount => 1 } });
my $text = "$lie\n\ndata: $lie\n\nevent: error\ndata: {}\n\n\",$lie,\"\\";

sub data { return 'data: ' . encode_json($_[0]) . "\n\n" }
sub event { return "event: $_[0]{type}\n" . data($_[0]) }

my $said = { content => $text, usage => { prompt_tokens => 7 } };

my %body = (
    chat => [json => encode_json({ %chat, usage => \%chat_usage,
        choices => [{ index => 0, message => $said }] })],
    chat_stream => [sse => join '',
        (map { data({ %chat, usage => undef,
                      choices => [{ delta => { content => $_ } }] }) }
             'a', $text, $lie),
        data({ %chat, choices => [], usage => \%chat_usage }),
        "data: [DONE]\n\n"],
    responses => [json => encode_json({ %response, output => [$said],
        usage => \%response_usage })],
    responses_stream => [sse => join '',
        event({ type => 'response.created', response => \%response }),
        event({ type => 'response.output_text.delta', delta => $text }),
        event({ type => 'response.completed',
                response => { %response, usage => \%response_usage } })],
    anthropic => [json => encode_json({ %message, usage => \%message_usage,
        content => [{ type => 'text', text => $text }] })],
    anthropic_stream => [sse => join '',
        event({ type => 'message_start', message => { %message, usage => {
                %message_usage, output_tokens => 1 } } }),
        event({ type => 'ping' }),
        event({ type => 'content_block_delta', index => 0,
                delta => { type => 'text_delta', text => $text } }),
        event({ type => 'message_delta', delta => {},
                usage => { output_tokens => 200 } }),
        event({ type => 'message_stop' })],
    gemini => [json => encode_json({ modelVersion => 'm1',
        candidates => [{ content => { parts => [{ text => $text }] } }],
        usageMetadata => \%gemini_usage })],
    gemini_stream => [sse => join '', map { s/\n\n/\r\n\r\n/r }
        data({ modelVersion => 'm1', usageMetadata => {
               promptTokenCount => 1000, totalTokenCount => 1000 },
               candidates => [{ content => { parts => [{ text => $text }] } }]
             }),
        data({ modelVersion => 'm1', usageMetadata => \%gemini_usage })],
    gemini_array => [json => encode_json([
        { modelVersion => 'm1', candidates => [$said] },
        { modelVersion => 'm1', usageMetadata => \%gemini_usage }])],
);

my $usd = (600 * 10 + 400 * 1 + 200 * 20) * 1e-7;

# Several megabytes before the part that tells.
my $filler = join ' ', 1 .. 500_000;

my %huge = (
    huge => [json => encode_json({ %chat, choices => [{ message => {
        content => $filler } }], usage => \%chat_usage })],
    huge_stream => [sse => join '',
        (map { data({ %chat, choices => [{ delta => { content =>
             "$_ " x 100 } }] }) } 1 .. 5_000),
        data({ %chat, choices => [], usage => \%chat_usage }),
        "data: [DONE]\n\n"],
);

my %failure = (
    rpc_error => [json => '{"jsonrpc":"2.0","id":1,"error":{"code":-32000}}'],
    mcp_error => [json => '{"jsonrpc":"2.0","id":1,"result":{"content":[],'
                          . '"isError":true}}'],
    a2a_failed => [json => '{"jsonrpc":"2.0","id":1,"result":{"kind":"task",'
                           . '"status":{"state":"failed"}}}'],
    a2a_rejected => [sse => 'data: {"jsonrpc":"2.0","id":1,"result":{"kind":'
                            . '"status-update","status":{"state":"rejected"},'
                            . "\"final\":true}}\n\n"],
    sse_error => [sse => "data: {\"type\":\"ping\"}\n\nevent: error\n"
                         . 'data: {"type":"error","error":{"type":'
                         . "\"overloaded_error\"}}\n\n"],
    chat_error => [sse => "data: {\"error\":{\"message\":\"no\"}}\n\n"],
    response_failed => [sse => event({ type => 'response.failed',
        response => { %response, status => 'failed',
                      error => { code => 'server_error' } } })],
);

my %fine = (
    mcp_fine => [json => '{"jsonrpc":"2.0","id":1,"result":{"content":[],'
                         . '"isError":false}}'],
    rpc_null => [json => '{"jsonrpc":"2.0","id":1,"error":null,"result":{}}'],
    a2a_working => [json => '{"jsonrpc":"2.0","id":1,"result":{"kind":"task",'
                            . '"status":{"state":"working"}}}'],
    truncated => [json => '{"model":"m1","usage":{"prompt_tokens":1000'],
    no_json => [json => '<html>"usage":{"prompt_tokens":1}'],
    strings => [json => '{"model":"m1","usage":{"prompt_tokens":"1000",'
                        . '"completion_tokens":"200"}}'],
    absurd => [json => '{"model":"m1","usage":{"prompt_tokens":1e308,'
                       . '"completion_tokens":200}}'],
    negative => [json => '{"model":"m1","usage":{"prompt_tokens":-1000,'
                         . '"completion_tokens":200}}'],
    no_usage => [sse => data({ %chat, choices => [] }) . "data: [DONE]\n\n"],
    unknown => [json => '{"model":"m9","usage":{"prompt_tokens":1000,'
                        . '"completion_tokens":200,"total_tokens":1200}}'],
    unread => [text => encode_json({ %chat, usage => \%chat_usage })],
    nothing => [json => ''],
);

my %all = (%body, %huge, %failure, %fine);
my %type = (json => 'application/json; charset=utf-8', text => 'text/plain',
            sse => 'text/event-stream');
my $chunked = 'Transfer-Encoding: chunked';
my (%parts, %packed);

for my $name (keys %all) {
    my ($kind, $bytes) = @{ $all{$name} };
    my $content = "Content-Type: $type{$kind}";

    $parts{"$name.whole"} = [answer(200, $bytes, $content)];
    $parts{"$name.close"} = [head(200, $content) . $bytes];
    next if !$body{$name};

    gzip(\$bytes, \$packed{$name}) or die;
    $parts{"$name.gzip"} = [answer(200, $packed{$name}, $content,
                                   'Content-Encoding: gzip')];
    $parts{"$name.plain"} = [answer(200, $bytes, $content,
                                    'Content-Encoding: Identity')];
    $parts{"$name.chunks"} = [head(200, $content, $chunked),
        drip(join('', map { chunk($_) } unpack '(a7)*', $bytes), 1_000),
        chunk('')];
    $parts{"$name.bytes"} = [head(200, $content, $chunked),
        drip(join('', map { chunk($_) } split //, $bytes), 1), chunk('')];
}

my $json = "Content-Type: $type{json}";
$parts{paid} = [answer(200, $body{chat}[1], $json, 'X-Cost: 0.5')];
$parts{badly_paid} = [answer(200, $body{chat}[1], $json, 'X-Cost: -0.5')];
$parts{refused} = [answer(400, '{"error":{"message":"no"}}', $json)];
$parts{failed} = [answer(500, '{"error":{"message":"no"}}', $json)];
$parts{told} = [answer(200, $body{chat}[1], $json, 'X-Outcome: denied')];
$parts{cut} = [head(200, "Content-Type: $type{sse}", $chunked)
               . chunk(substr $body{chat_stream}[1], 0, -20)];

my $agent = Canary::Script->start(dir => $dir, name => 'script',
                                  parts => \%parts);


# -- the router ---------------------------------------------------------------

my %rates = (input_cost_per_token => 1e-6, output_cost_per_token => 2e-6,
             cache_read_input_token_cost => 1e-7);
spew("$dir/prices.json", encode_json({
    sample_spec => { input_cost_per_token => 0 },
    m1 => { %rates, litellm_provider => 'openai', mode => 'chat' },
    'agent-candidate' => { %rates },
    free => { input_cost_per_token => 0, output_cost_per_token => 0 },
}));

$story->{http} = <<"END";
    upstream script { server @{[$agent->address]}; }
    upstream grpc { server unix:$dir/grpc.sock; }
    server {
        listen unix:$dir/grpc.sock http2;
        default_type application/grpc;
        location ~ /trailer/(.*) { add_trailer grpc-status \$1; return 200 x; }
        location ~ /header/(.*) { add_header grpc-status \$1; return 200; }
    }
    agent_canary_prices $dir/prices.json;
    agent_canary_usage auto;
    agent_canary_cost \$upstream_http_x_cost;
    agent_canary_outcome \$upstream_http_x_outcome;
    log_format usage '\$uri in=\$agent_canary_tokens_input '
                     'out=\$agent_canary_tokens_output '
                     'usd=\$agent_canary_cost_usd '
                     'outcome=\$agent_canary_outcome';
END

my %location = (
    on => '', off => 'agent_canary_usage off;',
    plain => 'proxy_buffering off;',
    spill => 'proxy_buffers 2 4k; proxy_buffer_size 4k;'
             . ' proxy_busy_buffers_size 4k; limit_rate_after 1k;',
    packed => 'gzip on; gzip_min_length 1; gzip_proxied any;'
              . ' gzip_types application/json text/event-stream;',
);

$story->{server} = "listen 127.0.0.1:$port;"
    . "access_log $dir/usage.log usage;" . join '', map { <<"END" }
        location /$_/ {
            agent_canary usage key=\$http_x_user_id
                         baseline=script candidate=script;
            proxy_pass http://agent_canary;
            $location{$_}
        }
END
    sort keys %location;

$story->{server} .= <<'END';
        location /grpc/ {
            agent_canary usage key=$http_x_user_id
                         baseline=grpc candidate=grpc;
            grpc_pass grpc://agent_canary;
        }
        location /fallen/ {
            agent_canary usage key=$http_x_user_id
                         baseline=script candidate=script;
            proxy_pass http://agent_canary;
            proxy_intercept_errors on;
            error_page 400 = /fallen/then/chat.whole;
            location /fallen/then/ { proxy_pass http://script; }
        }
        location /grpc_off/ {
            agent_canary usage key=$http_x_user_id
                         baseline=grpc candidate=grpc;
            agent_canary_usage off;
            grpc_pass grpc://agent_canary;
        }
END

$redis->flag('usage', percent => 100);
$redis->flag('support', percent => 100);
my $nginx = $story->start;
$nginx->wait_flag($_, state => 'ok') or die "no flag $_"
    for qw(usage support);
my $ledger = Canary::Ledger->new($nginx, 'usage');

my %read = (tokens_input => 1000, tokens_output => 200);
my %priced = (%read, cost_known => 1, cost_unpriced => 0, cost_usd => $usd);


# Two tests: the bytes, and what was read of them.
sub passes {
    my ($location, $part, $bytes, %expect) = @_;
    my $answer = $nginx->get("/$location/$part", 'X-User-Id' => 'a');
    my $is = "/$location/$part";

    is(sha256_hex($answer->{body}), sha256_hex($bytes), "$is: the same bytes");
    $ledger->expect('candidate', %expect);
    $ledger->check("$is: what it said");
    return $answer;
}


# -- every shape, however it comes --------------------------------------------

for my $name (sort keys %body) {
    my $bytes = $body{$name}[1];
    passes($_, "$name.whole", $bytes, %priced) for qw(on plain);
    passes('on', "$name.$_", $bytes, %priced) for qw(close plain);
    passes('plain', "$name.chunks", $bytes, %priced);
    passes('on', "$name.bytes", $bytes, %priced);
}

passes('off', 'chat.whole', $body{chat}[1]);


# another one answers instead
passes('fallen', 'refused', $body{chat}[1]);


# -- gRPC ---------------------------------------------------------------------

for my $where (qw(trailer header)) {
    for my $code (0 .. 16) {
        my $failed = grep { $_ == $code } 2, 4, 12 .. 15;
        $nginx->get("/grpc/$where/$code", 'X-User-Id' => 'a');
        $ledger->expect('candidate', $failed ? (errors_in_band => 1) : ());
        $ledger->check("grpc-status $code in a $where");
    }
}

$nginx->get('/grpc_off/trailer/13', 'X-User-Id' => 'a');
$ledger->expect('candidate');
$ledger->check('grpc-status 13, which nobody asked for');


# -- gzip ---------------------------------------------------------------------

passes('on', "$_.gzip", $packed{$_}) for qw(chat chat_stream);

my @hints = $nginx->log_text =~ /cannot read an answer with "Content-Encoding: gzip".*add "proxy_set_header Accept-Encoding identity;"/g;
ok(@hints >= 1 && @hints <= $story->{workers},
   'the log says once a worker what to do') or diag(scalar @hints);

# packed by nginx itself, behind us
my $packed = $nginx->get('/packed/chat.whole', 'X-User-Id' => 'a',
                         'Accept-Encoding' => 'gzip');
is($packed->{headers}{'content-encoding'}, 'gzip', 'nginx packs an answer');
$ledger->expect('candidate', %priced);
$ledger->check('after it was read');


# -- megabytes ----------------------------------------------------------------

for my $name (sort keys %huge) {
    my $bytes = $huge{$name}[1];
    passes($_, "$name.whole", $bytes, %priced) for qw(on plain);

    # nobody takes it until it lies in a file
    my $files = () = $nginx->log_text =~ /buffered to a temporary file/g;
    my $socket = Canary::HTTP::connect_to($nginx->address);
    syswrite $socket, Canary::HTTP::message('GET', "/spill/$name.whole", undef,
        'X-User-Id' => 'a', Connection => 'close');
    ok(wait_until(10, sub {
        my $now = () = $nginx->log_text =~ /buffered to a temporary file/g;
        $now > $files;
    }), "$name is in a file");

    my ($in, $answer) = ('');
    wait_until(20, sub {
        my $n = sysread $socket, $in, 1_000_000, length $in;
        $answer = Canary::HTTP::parse(\$in, 0);
        $answer || (defined $n && !$n);
    });
    is(sha256_hex($answer->{body} // ''), sha256_hex($bytes),
       "$name: the same bytes from there");
    $ledger->expect('candidate', %priced);
    $ledger->check("$name: what it said");
}


# -- what tells nothing -------------------------------------------------------

for my $name (sort keys %fine) {
    my $bytes = $fine{$name}[1];
    passes('on', "$name.whole", $bytes, $name eq 'unknown' ? %read : ());
}

$nginx->get('/on/cut', 'X-User-Id' => 'a');
$ledger->expect('candidate', errors_stream => 1);
$ledger->check('a stream that breaks off before its usage');

my $head = Canary::HTTP::raw($nginx->address,
    "HEAD /on/chat.whole HTTP/1.0\r\nX-User-Id: a\r\n\r\n");
is($head->{status}, 200, 'HEAD');
$ledger->expect('candidate');
$ledger->check('has no body to read');


# -- failures behind a status of 200 ------------------------------------------

for my $name (sort keys %failure) {
    my $bytes = $failure{$name}[1];
    passes($_, "$name.whole", $bytes, errors_in_band => 1) for qw(on plain);
    passes('off', "$name.whole", $bytes);
}

for (['refused', 400, {}], ['failed', 500, { errors_status => 1 }]) {
    my ($part, $status, $expect) = @$_;
    is($nginx->get("/on/$part", 'X-User-Id' => 'a')->{status}, $status, $part);
    $ledger->expect('candidate', %$expect);
    $ledger->check("$part: its body adds nothing");
}


# -- which cost, and the variables --------------------------------------------

passes('on', 'paid', $body{chat}[1], %priced, cost_usd => 0.5);
passes('on', 'badly_paid', $body{chat}[1], %read);
passes('on', 'told', $body{chat}[1], %priced, denied => 1);

my $log = slurp("$dir/usage.log");
like($log, qr{^/on/chat.whole in=1000 out=200 usd=0.00104000 outcome=-$}m,
     'variables: usage and its price');
like($log, qr{^/on/paid in=1000 out=200 usd=0.50000000 outcome=-$}m,
     'variables: a reported cost');
like($log, qr{^/on/told in=1000 out=200 usd=0.00104000 outcome=denied$}m,
     'variables: an outcome');
like($log, qr{^/on/unknown.whole in=1000 out=200 usd=- outcome=-$}m,
     'variables: no price');
like($log, qr{^/on/no_usage.whole in=- out=- usd=- outcome=-$}m,
     'variables: no usage');
like($log, qr{^/off/chat.whole in=- out=- usd=- outcome=-$}m,
     'variables: not read');


# -- the official clients -----------------------------------------------------

my ($told, $status) = command_output('node', root() . '/t/npm/usage.mjs',
    $packages, "http://127.0.0.1:$port", 'a');
is($status, 0, 'node usage.mjs') or diag($told);
my @told = $status ? () : @{ decode_json($told) };
is(join(', ', map { $_->{client} } @told),
   'openai, openai stream, anthropic, anthropic stream', 'clients');
is(scalar(grep { $_->{text} =~ /^I, agent candidate, have/ } @told), 4,
   'each of them has its text');

my ($input, $output) = map { my $key = $_; sum0(map { $_->{$key} } @told) }
    qw(input output);
my $support = Canary::Ledger->new($nginx, 'support');
$support->expect('candidate', requests => 4, first_byte_ms => 4,
    latency_ms => 4, tokens_input => $input, tokens_output => $output,
    cost_known => 4, cost_unpriced => 0,
    cost_usd => $input * 1e-6 + $output * 2e-6);
$support->check('the status has the tokens they have, and what they cost');


# -- price files --------------------------------------------------------------

sub prices_are {
    my ($name, $status, $pattern, $bytes) = @_;
    my $path = "$dir/$name.json";
    spew($path, $bytes) if defined $bytes;

    my $conf = Canary::Nginx->new(dir => $dir, name => 'conf',
        http => "agent_canary_prices $path;");
    my ($said) = $conf->test;
    my $code = $said =~ /test is successful/ ? 0 : 1;
    is($code, $status, "prices, $name") or diag($said);
    like($said, $pattern, "prices, $name: said so");
    like($said, qr/\Q$path\E/, "prices, $name: which file") if $status;
}

mkdir "$dir/directory.json";
my $file = 'invalid price file';
prices_are('gone', 1, qr/failed \(2: No such file/);
prices_are('directory', 1, qr/$file.*expected a regular file/);

# A FIFO that nobody writes to holds its reader, here not for ever.
my $held = 0;
mkfifo("$dir/fifo.json", 0600) or die "mkfifo: $!";
{
    local $SIG{ALRM} = sub {
        $held = 1;
        sysopen my $writer, "$dir/fifo.json", O_WRONLY | O_NONBLOCK;
    };
    alarm 20;
    prices_are('fifo', 1, qr/$file.*expected a regular file/);
    alarm 0;
}
ok(!$held, 'prices, fifo: nobody waits for it');

prices_are('empty', 1, qr/$file/, '');
prices_are('broken', 1, qr/$file/, '{"m1":{"input_cost_per_token":1e-6');
prices_are('list', 1, qr/$file/, '[1]');
prices_are('huge', 1, qr/$file.*at most 8 MB/,
           '{"a":"' . ' ' x 20_000_000 . '"}');
prices_are('large', 1, qr/$file.*at most 8 MB/, '[]' . ' ' x 8_388_607);
prices_are('full', 1, qr/$file.*expected a JSON object/,
           '[]' . ' ' x 8_388_606);
prices_are('none', 1, qr/$file.*expected a model with a price/, '{}');
prices_are('million', 1, qr/$file.*m1/,
           '{"m1":{"input_cost_per_token":3,"output_cost_per_token":15}}');
prices_are('some', 0, qr/\Q$dir\E\/some.json": 2 models are left out.*first: /,
           encode_json({ good => { %rates },
                         bad => { %rates, input_cost_per_token => -1e-6 },
                         text => { %rates, input_cost_per_token => 'x' } }));

my ($duplicate) = Canary::Nginx->new(dir => $dir, name => 'conf', http =>
    "agent_canary_prices $dir/prices.json;" x 2)->test;
like($duplicate, qr/"agent_canary_prices" directive is duplicate/, 'two of them');

$agent->process->stop;
$story->end;

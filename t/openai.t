#!/usr/bin/env perl

# The official client of the API that most agents speak: through the router it
# gets the same bytes as from the agent, each token before the next is sent.

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP qw(decode_json);
use MIME::Base64 qw(decode_base64);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Agent;
use Canary::Story;
use Canary::Util qw(command_output free_port root);

use constant TOKENS => 20;

my $packages = root() . '/build/npm';
-d "$packages/node_modules/openai"
    or BAIL_OUT("$packages is missing, \"make test\" installs it");

my $port = free_port();
my $direct = free_port();
my $story = Canary::Story->new(location => 'proxy_buffering off;',
                               server => "listen 127.0.0.1:$port;");
my $candidate = Canary::Agent->start(dir => $story->dir, name => 'candidate-2',
    options => ['--listen', $direct, '--tokens', TOKENS]);
$story->agent('candidate')->process->stop;
unlink $story->dir . '/candidate.sock';
symlink $candidate->{path}, $story->dir . '/candidate.sock' or die $!;

$story->redis->flag(support => percent => 100);
my $nginx = $story->start;
$nginx->wait_flag('support', state => 'ok') or die 'no flag';


sub ask {
    my ($to) = @_;
    my ($text, $status) = command_output('node', root() . '/t/npm/ask.mjs',
        $packages, "http://127.0.0.1:$to/v1", 'alice',
        "http://127.0.0.1:$direct");
    is($status, 0, "node ask.mjs port $to") or diag($text);
    my $told = decode_json($text);
    $told->{streamed} = decode_base64($told->{streamed});
    return $told;
}


my $expected = ask($direct);
my $got = ask($port);

is($got->{agent}, 'candidate-2', 'answered by the candidate');
is($got->{model}, 'agent-candidate-2', 'model');
is($got->{text}, $expected->{text}, 'text');
like($got->{text}, qr/^I, agent candidate-2, have thought/, 'of the agent');
is_deeply($got->{usage}, $expected->{usage}, 'usage');
is($got->{usage}{completion_tokens}, TOKENS, 'tokens counted');
is($got->{whole}, $expected->{whole}, 'the same without a stream');
is_deeply($got->{wholeUsage}, $expected->{wholeUsage}, 'and its usage');

is(length $got->{streamed}, length $expected->{streamed}, 'as many bytes');
ok($got->{streamed} eq $expected->{streamed}, 'byte for byte');
like($got->{streamed}, qr/\Adata: .*\ndata: \[DONE\]\n\n\z/s,
     'from start to end');

# each of them was held back until the one before had come through nginx
is($got->{tokens}, TOKENS, 'token by token');

$candidate->process->stop;
$story->end;

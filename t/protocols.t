#!/usr/bin/env perl

# Whatever nginx speaks to clients and to agents: an answer is counted once,
# as whole or as broken off, and a client that leaves as one that left.
# (Row U7; gRPC's own failures are in usage.t.)

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Agent;
use Canary::HTTP;
use Canary::Ledger;
use Canary::Process qw(spawn);
use Canary::Script qw(answer chunk hang head);
use Canary::Story;
use Canary::Util qw(command_output free_port wait_until);

my $story = Canary::Story->new(workers => 2);
my $dir = $story->dir;
my $redis = $story->redis;
my $port = free_port();
my @cgi = qw(fastcgi scgi uwsgi);


# Gives back what it gets, until the other side has had enough.
sub echo {
    return sub {
        my ($client) = @_;
        while (sysread $client, my $bytes, 4_096) { syswrite $client, $bytes }
    };
}


my $agent = Canary::Script->start(dir => $dir, name => 'script', parts => {
    ok       => [answer(200, 'fine')],
    stays    => [head(200, 'Transfer-Encoding: chunked'), chunk('a'), hang()],
    socket   => ["HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                 . "Connection: upgrade\r\n\r\n", echo()],
    leaves   => ["HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                 . "Connection: upgrade\r\n\r\n"],
    no_socket => [answer(503, 'not now')],
    hints    => ["HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
                 answer(200, 'fine')],
});

my %server;

for my $protocol (@cgi) {
    for my $how ('whole', 'cut') {
        $server{"$protocol-$how"} = Canary::Agent->start_cgi(dir => $dir,
            protocol => $protocol, name => $how, body => 'x' x 10_000,
            cut => $how eq 'cut');
    }
}

$story->{http} = join '', map { "upstream $_ { server @{[
    $server{$_} ? $server{$_}->address : $agent->address]}; }\n" }
    'script', sort keys %server;
$story->{http} .= <<"END";
    upstream h2 { server unix:$dir/h2.sock; }
    server {
        listen unix:$dir/h2.sock http2;
        location / { return 200 xxx; }
        location /cut { proxy_pass http://script/stays; proxy_read_timeout 1s; }
    }
    agent_canary_usage auto;
    proxy_next_upstream off;
    proxy_read_timeout 20s;
END

sub place {
    my ($name, $upstream, $pass, $more) = @_;
    $more //= '';
    return <<"END";
        location /$name/ {
            agent_canary protocols key=\$http_x_user_id
                         baseline=$upstream candidate=$upstream;
            $pass;
            $more
        }
END
}

$story->{server} = "listen 127.0.0.1:$port http2;"
    . place('http', 'script', 'proxy_pass http://agent_canary/')
    . place('ws', 'script', 'proxy_pass http://agent_canary/',
            'proxy_set_header Upgrade $http_upgrade;'
            . ' proxy_set_header Connection upgrade;')
    . place('grpc', 'h2', 'grpc_pass grpc://agent_canary')
    . join('', map {
        my $protocol = $_;
        map {
            my $how = $_;
            map { place("$protocol-$how-$_", "$protocol-$how",
                        "${protocol}_pass agent_canary",
                        "${protocol}_buffering $_;") } 'on', 'off';
        } 'whole', 'cut';
    } @cgi);

$redis->flag(protocols => percent => 100);
my $nginx = $story->start;
$nginx->wait_flag('protocols', state => 'ok') or die 'no flag';
my $ledger = Canary::Ledger->new($nginx, 'protocols');


sub counted {
    my ($what, %expect) = @_;
    $ledger->expect('candidate', %expect);
    $ledger->check("$what: counted");
}


# -- other backends -----------------------------------------------------------

for my $protocol (@cgi) {
    for my $way ('on', 'off') {
        my $what = "$protocol, buffering $way";

        # who leaves before FastCGI has told the end, has left
        my $socket = Canary::HTTP::connect_to($nginx->address);
        my ($in, $answer) = ('');
        syswrite $socket, Canary::HTTP::message('GET',
            "/$protocol-whole-$way/", undef, 'X-User-Id' => 'a');
        wait_until(10, sub {
            sysread $socket, $in, 65_536, length $in;
            $answer = Canary::HTTP::parse(\$in, 0);
        });
        is(length($answer->{body} // ''), 10_000, "$what: a whole answer");
        counted($what);
        close $socket;

        $nginx->get("/$protocol-cut-$way/", 'X-User-Id' => 'a');
        counted("$what, broken off", errors_stream => 1);
    }
}

is($nginx->get('/grpc/', 'X-User-Id' => 'a')->{body}, 'xxx', 'grpc_pass');
counted('grpc_pass');


# -- WebSocket ----------------------------------------------------------------

sub upgrade {
    my ($part) = @_;
    my $socket = Canary::HTTP::connect_to($nginx->address);
    my $in = '';
    syswrite $socket, Canary::HTTP::message('GET', "/ws/$part", undef,
        'X-User-Id' => 'a', Upgrade => 'websocket', Connection => 'upgrade');
    wait_until(5, sub {
        sysread $socket, $in, 65_536, length $in;
        $in =~ /\r\n\r\n/;
    });
    return ($socket, $in =~ m{^HTTP/1.1 (\d+)} ? $1 : 0);
}

my ($socket, $status) = upgrade('socket');
is($status, 101, 'a WebSocket');
is($ledger->read_arms->{candidate}{in_flight}, 1, 'is in flight');
syswrite $socket, 'hello';
my $in = '';
ok(wait_until(5, sub { sysread $socket, $in, 100, length $in;
                       $in eq 'hello' }), 'and carries what it is given');
close $socket;
counted('a WebSocket that the client closes');

($socket, $status) = upgrade('leaves');
is($status, 101, 'a WebSocket');
ok(wait_until(5, sub { my $n = sysread $socket, $in, 100;
                       defined $n && !$n }), 'that the agent closes');
counted('it');

($socket, $status) = upgrade('no_socket');
is($status, 503, 'one that the agent refuses');
counted('it', errors_status => 1);
close $socket;


# -- HTTP/2 clients, and 1xx --------------------------------------------------

sub curl {
    my ($path, @more) = @_;
    return command_output('curl', '-s', '-S', '--http2-prior-knowledge',
        '-H', 'X-User-Id: a', '-w', '|%{http_code}|%{http_version}', @more,
        "http://127.0.0.1:$port$path");
}

my ($said) = curl('/http/ok');
is($said, 'fine|200|2', 'HTTP/2');
counted('HTTP/2');

($said) = curl('/http/stays', '--max-time', '0.5');
like($said, qr/timed out|\|200\|2/, 'HTTP/2: a client that leaves');
counted('HTTP/2: a client that leaves', client_aborts => 1);

my $answer = Canary::HTTP::raw($nginx->address, Canary::HTTP::message('POST',
    '/http/ok', 'body', 'X-User-Id' => 'a', Expect => '100-continue',
    Connection => 'close') =~ s/\r\n\r\nbody$/\r\n\r\nbody/r);
ok($answer->{status} == 100 || $answer->{status} == 200,
   'a client that waits for a 100');
counted('it');

$nginx->get('/http/hints', 'X-User-Id' => 'a');
counted('103 of an agent');

$agent->process->stop;
$_->{process}->stop for values %server;
$story->end;

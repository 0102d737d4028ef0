#!/usr/bin/env perl

# The built-in upstream "agent_canary" has to be as good as the arm's own name
# in every *_pass: its servers, its balancer, its failover, its keepalive.

use strict;
use warnings;

use File::Basename qw(dirname);

use lib dirname(__FILE__) . '/lib';
use Canary::Spec;
use Test::Nginx::Socket;

Canary::Spec::cgi($_) for qw(fastcgi scgi uwsgi);

my $canary = 'agent_canary support key=$http_x_user_id';

add_block_preprocessor(sub {
    my ($block) = @_;
    my $config = $block->config;

    $config =~ s/^\s*canary;/$canary baseline=v41 candidate=v42;/mg;
    $config =~ s/^\s*canary (\w+);/
                 $canary baseline=${1}_baseline candidate=${1}_candidate;/mg;
    $block->set_value('config', $config);
    $block->set_value('http_config', Canary::Spec::http_config()
                      . ($block->http_config // ''));
    $block->set_value('request', 'GET /') if !defined $block->request;
});

no_shuffle();
no_root_location();
no_long_string();
repeat_each(1);
plan('no_plan');
run_tests();

__DATA__

=== TEST 1: fastcgi_pass
--- http_config
    upstream f_baseline  { server $TEST_NGINX_FASTCGI_BASELINE; }
    upstream f_candidate { server $TEST_NGINX_FASTCGI_CANDIDATE; }
--- config
    location / {
        canary f;
        fastcgi_pass agent_canary;
    }
--- request eval
["GET /", "GET /"]
--- more_headers eval
["X-User-Id: alice", "X-User-Id: carol"]
--- response_headers eval
["X-Agent: candidate", "X-Agent: baseline"]



=== TEST 2: scgi_pass
--- http_config
    upstream s_baseline  { server $TEST_NGINX_SCGI_BASELINE; }
    upstream s_candidate { server $TEST_NGINX_SCGI_CANDIDATE; }
--- config
    location / {
        canary s;
        scgi_pass agent_canary;
    }
--- request eval
["GET /", "GET /"]
--- more_headers eval
["X-User-Id: alice", "X-User-Id: carol"]
--- response_headers eval
["X-Agent: candidate", "X-Agent: baseline"]



=== TEST 3: uwsgi_pass
--- http_config
    upstream u_baseline  { server $TEST_NGINX_UWSGI_BASELINE; }
    upstream u_candidate { server $TEST_NGINX_UWSGI_CANDIDATE; }
--- config
    location / {
        canary u;
        uwsgi_pass agent_canary;
    }
--- request eval
["GET /", "GET /"]
--- more_headers eval
["X-User-Id: alice", "X-User-Id: carol"]
--- response_headers eval
["X-Agent: candidate", "X-Agent: baseline"]



=== TEST 4: grpc_pass
--- http_config
    upstream g_baseline  { server unix:$TEST_NGINX_DIR/g1.sock; keepalive 4; }
    upstream g_candidate { server unix:$TEST_NGINX_DIR/g2.sock; keepalive 4; }
    server {
        listen unix:$TEST_NGINX_DIR/g1.sock http2;
        location / { add_header X-Agent baseline; return 200; }
    }
    server {
        listen unix:$TEST_NGINX_DIR/g2.sock http2;
        location / { add_header X-Agent candidate; return 200; }
    }
--- config
    location / {
        canary g;
        grpc_pass grpc://agent_canary;
    }
--- request eval
["GET /", "GET /", "GET /"]
--- more_headers eval
["X-User-Id: alice", "X-User-Id: carol", "X-User-Id: alice"]
--- response_headers eval
["X-Agent: candidate", "X-Agent: baseline", "X-Agent: candidate"]



=== TEST 5: the arm's own failover: the next server of the same arm
--- http_config
    upstream two { server $TEST_NGINX_NOBODY; server $TEST_NGINX_CANDIDATE; }
--- config
    location / {
        agent_canary all key=$http_x_user_id baseline=v41 candidate=two;
        proxy_pass http://agent_canary;
        add_header X-Tried "$upstream_addr" always;
    }
--- more_headers
X-User-Id: alice
--- response_headers_like
X-Agent: candidate
X-Tried: 127.*, unix:.*/candidate\.sock



=== TEST 6: an arm that is down is a 502, never the other arm
--- http_config
    upstream down { server $TEST_NGINX_NOBODY; }
--- config
    location / {
        agent_canary all key=$http_x_user_id baseline=v41 candidate=down;
        proxy_pass http://agent_canary;
    }
--- more_headers
X-User-Id: alice
--- error_code: 502
--- error_log
Connection refused



=== TEST 7: the arm's own balancer
--- http_config
    upstream hashed {
        hash $arg_x consistent;
        server $TEST_NGINX_CANDIDATE;
        server $TEST_NGINX_BASELINE down;
    }
--- config
    location / {
        agent_canary all key=$http_x_user_id baseline=v41 candidate=hashed;
        proxy_pass http://agent_canary;
    }
--- request eval
["GET /?x=1", "GET /?x=2", "GET /?x=3"]
--- more_headers
X-User-Id: alice
--- response_headers eval
["X-Agent: candidate", "X-Agent: candidate", "X-Agent: candidate"]



=== TEST 8: the arm's own keepalive
--- http_config
    upstream kept { server unix:$TEST_NGINX_DIR/kept.sock; keepalive 4; }
    server {
        listen unix:$TEST_NGINX_DIR/kept.sock;
        location / { return 200 "$connection_requests"; }
    }
--- config
    location / {
        agent_canary all key=$http_x_user_id baseline=v41 candidate=kept;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_pass http://agent_canary;
    }
--- request eval
["GET /", "GET /", "GET /"]
--- more_headers
X-User-Id: alice
--- response_body eval
["1", "2", "3"]



=== TEST 9: an upstream with a zone
--- http_config
    upstream zoned { zone zoned 64k; least_conn; server $TEST_NGINX_CANDIDATE; }
--- config
    location / {
        agent_canary all key=$http_x_user_id baseline=v41 candidate=zoned;
        proxy_pass http://agent_canary;
    }
--- more_headers
X-User-Id: alice
--- response_headers
X-Agent: candidate



=== TEST 10: the path and the query go through unchanged
--- http_config
    upstream echo { server unix:$TEST_NGINX_DIR/echo.sock; }
    server {
        listen unix:$TEST_NGINX_DIR/echo.sock;
        location / { return 200 "$request_uri $host"; }
    }
--- config
    location / {
        agent_canary all key=$http_x_user_id baseline=v41 candidate=echo;
        proxy_pass http://agent_canary;
        proxy_set_header Host agents.example;
    }
--- request
GET /v1/a%20b?c=%2Fd
--- more_headers
X-User-Id: alice
--- response_body: /v1/a%20b?c=%2Fd agents.example



=== TEST 11: a request body arrives
--- config
    location / {
        canary;
        proxy_pass http://agent_canary;
    }
--- request
POST /v1/chat/completions
{"model":"m","messages":[{"role":"user","content":"hello"}]}
--- more_headers
X-User-Id: alice
--- response_body_like: "model":"agent-candidate".*"completion_tokens":12



=== TEST 12: passed to in a location without the directive
--- config
    location / {
        proxy_pass http://agent_canary;
    }
--- error_code: 500
--- error_log
request is passed to "agent_canary" in a location without the "agent_canary" directive



=== TEST 13: the same, turned off
--- config
    canary;
    location / {
        agent_canary off;
        proxy_pass http://agent_canary;
    }
--- error_code: 500
--- error_log
without the "agent_canary" directive



=== TEST 14: an arm may be the same for both
--- config
    location / {
        agent_canary all key=$http_x_user_id baseline=v41 candidate=v41;
        proxy_pass http://agent_canary;
    }
--- more_headers
X-User-Id: alice
--- response_headers
X-Agent: baseline



=== TEST 15: upstream blocks below the locations that name them
--- config
    location / {
        agent_canary all key=$http_x_user_id baseline=v41 candidate=late;
        proxy_pass http://agent_canary;
    }
--- http_config
    upstream LATE { server $TEST_NGINX_CANDIDATE; }
--- more_headers
X-User-Id: alice
--- response_headers
X-Agent: candidate



=== TEST 16: TLS to the arm
--- http_config
    upstream tls { server unix:$TEST_NGINX_DIR/tls.sock; }
    server {
        listen unix:$TEST_NGINX_DIR/tls.sock ssl;
        ssl_certificate $TEST_NGINX_DIR/tls.crt;
        ssl_certificate_key $TEST_NGINX_DIR/tls.key;
        location / { return 200 "$ssl_server_name"; }
    }
--- config
    location / {
        agent_canary all key=$http_x_user_id baseline=v41 candidate=tls;
        proxy_ssl_server_name on;
        proxy_pass https://agent_canary;
    }
--- more_headers
X-User-Id: alice
--- response_body: tls

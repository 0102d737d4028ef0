#!/usr/bin/env perl

# One decision for one request of a client, whatever nginx makes of it:
# internal redirects wipe the module's context, subrequests share variables,
# and each of them could count a user twice or send him to the other side.

use strict;
use warnings;

use File::Basename qw(dirname);

use lib dirname(__FILE__) . '/lib';
use Canary::Spec;
use Test::Nginx::Socket;

# The answer of every spec ends with the number of decisions it took.
add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value('http_config', Canary::Spec::http_config()
                      . ($block->http_config // ''));
    $block->set_value('config', $block->config . <<'END');
        location /canary/ {
            agent_canary_api;
        }
END
    $block->set_value('request', 'GET /') if !defined $block->request;
});

no_shuffle();
no_root_location();
no_long_string();
repeat_each(1);
plan('no_plan');
run_tests();

__DATA__

=== TEST 1: error_page to a named location keeps the decision
--- http_config
    upstream down { server $TEST_NGINX_NOBODY; }
--- config
    location / {
        agent_canary all key=$http_x_user_id baseline=v41 candidate=down;
        proxy_pass http://agent_canary;
        error_page 502 = @fallback;
    }
    location @fallback {
        agent_canary all key=nobody-else$arg_none baseline=v41 candidate=down;
        add_header X-Decision "$agent_canary_arm $agent_canary_bucket";
        proxy_pass http://v41;
    }
--- request eval
["GET /", "GET /canary/status"]
--- more_headers
X-User-Id: alice
--- response_headers eval
["X-Agent: baseline\nX-Decision: candidate 27717", ""]
--- response_body_like eval
["baseline", '"name":"all"[^\n]*"decisions":\{"baseline":\{\},"candidate":\{"split":1\}\}']



=== TEST 2: an internal redirect keeps the decision
--- config
    location = / {
        agent_canary all key=$http_x_user_id baseline=v41 candidate=v42;
        add_header X-Before $agent_canary_arm;
        set $seen $agent_canary_arm;
        rewrite ^ /inner last;
    }
    location /inner {
        agent_canary all key=$arg_none baseline=v41 candidate=v42;
        proxy_pass http://agent_canary;
    }
--- request eval
["GET /", "GET /canary/status"]
--- more_headers
X-User-Id: alice
--- response_body_like eval
["candidate", '"name":"all"[^\n]*"decisions":\{"baseline":\{\},"candidate":\{"split":1\}\}']



=== TEST 3: X-Accel-Redirect keeps the decision
--- http_config
    server {
        listen unix:$TEST_NGINX_DIR/accel.sock;
        location / { add_header X-Accel-Redirect /inner; return 200; }
    }
    upstream accel { server unix:$TEST_NGINX_DIR/accel.sock; }
--- config
    location = / {
        agent_canary all key=$http_x_user_id baseline=v41 candidate=accel;
        proxy_pass http://agent_canary;
    }
    location /inner {
        internal;
        agent_canary all key=$arg_none baseline=v41 candidate=v42;
        proxy_pass http://agent_canary;
    }
--- request eval
["GET /", "GET /canary/status"]
--- more_headers
X-User-Id: alice
--- response_body_like eval
["candidate", '"name":"all"[^\n]*"decisions":\{"baseline":\{\},"candidate":\{"split":1\}\}']



=== TEST 4: try_files
--- config
    location / {
        agent_canary all key=$http_x_user_id baseline=v41 candidate=v42;
        try_files /no-such-file-$agent_canary_arm @agents;
    }
    location @agents {
        agent_canary all key=$http_x_user_id baseline=v41 candidate=v42;
        proxy_pass http://agent_canary;
    }
--- request eval
["GET /", "GET /canary/status"]
--- more_headers
X-User-Id: alice
--- response_body_like eval
["candidate", '"name":"all"[^\n]*"decisions":\{"baseline":\{\},"candidate":\{"split":1\}\}']



=== TEST 5: auth_request that goes to the agents as well
--- config
    location / {
        agent_canary all key=$http_x_user_id baseline=v41 candidate=v42;
        auth_request /auth;
        proxy_pass http://agent_canary;
    }
    location = /auth {
        internal;
        agent_canary all key=$http_x_user_id baseline=v41 candidate=v42;
        proxy_pass http://agent_canary;
        proxy_pass_request_body off;
        proxy_set_header Content-Length "";
    }
--- request eval
["GET /", "GET /canary/status"]
--- more_headers
X-User-Id: alice
--- response_body_like eval
["candidate", '"name":"all"[^\n]*"decisions":\{"baseline":\{\},"candidate":\{"split":1\}\}']



=== TEST 6: the user id comes from auth_request
--- config
    location / {
        auth_request /auth;
        auth_request_set $user $upstream_http_x_authenticated;
        agent_canary support key=$user baseline=v41 candidate=v42;
        add_header X-Bucket $agent_canary_bucket;
        proxy_pass http://agent_canary;
    }
    location = /auth {
        internal;
        proxy_pass http://unix:$TEST_NGINX_DIR/auth.sock:;
    }
--- http_config
    server {
        listen unix:$TEST_NGINX_DIR/auth.sock;
        location / { add_header X-Authenticated alice; return 200; }
    }
--- more_headers
X-User-Id: carol
--- response_headers
X-Agent: candidate
X-Bucket: 27717



=== TEST 7: a mirror does not decide again
--- config
    location / {
        agent_canary all key=$http_x_user_id baseline=v41 candidate=v42;
        mirror /mirror;
        proxy_pass http://agent_canary;
    }
    location = /mirror {
        internal;
        agent_canary all key=$http_x_user_id baseline=v41 candidate=v42;
        proxy_pass http://agent_canary;
    }
--- request eval
["GET /", "GET /canary/status"]
--- more_headers
X-User-Id: alice
--- response_body_like eval
["candidate", '"name":"all"[^\n]*"decisions":\{"baseline":\{\},"candidate":\{"split":1\}\}']



=== TEST 8: many variables, one decision
--- config
    location / {
        agent_canary all key=$http_x_user_id baseline=v41 candidate=v42;
        if ($agent_canary_arm = candidate) {
            set $a "$agent_canary_arm $agent_canary_bucket";
        }
        proxy_pass http://agent_canary;
        add_header X-All "$agent_canary_arm $agent_canary_cohort $agent_canary_percent";
    }
--- request eval
["GET /", "GET /canary/status"]
--- more_headers
X-User-Id: alice
--- response_body_like eval
["candidate", '"name":"all"[^\n]*"decisions":\{"baseline":\{\},"candidate":\{"split":1\}\}']



=== TEST 9: two flags in one request: the one that routes is counted
--- config
    location = / {
        agent_canary support key=$http_x_user_id baseline=v41 candidate=v42;
        set $first $agent_canary_bucket;
        rewrite ^ /inner last;
    }
    location /inner {
        agent_canary tripped key=$http_x_user_id baseline=v41 candidate=v42;
        add_header X-Both "$first $agent_canary_reason";
        proxy_pass http://agent_canary;
    }
--- request eval
["GET /", "GET /canary/status"]
--- more_headers
X-User-Id: alice
--- response_headers eval
["X-Both: 27717 tripped", ""]
--- response_body_like eval
["baseline", '"name":"support"[^\n]*"decisions":\{"baseline":\{\},"candidate":\{\}\}.*?"name":"tripped"[^\n]*"decisions":\{"baseline":\{"tripped":1\},"candidate":\{\}\}']



=== TEST 10: a request that goes to no arm is not counted
--- config
    location / {
        agent_canary all key=$http_x_user_id baseline=v41 candidate=v42;
        add_header X-Arm $agent_canary_arm always;
        return 204;
    }
--- request eval
["GET /", "GET /canary/status"]
--- more_headers
X-User-Id: alice
--- error_code eval
[204, 200]
--- response_body_like eval
["", '"name":"all"[^\n]*"decisions":\{"baseline":\{\},"candidate":\{\}\}']



=== TEST 11: HEAD
--- config
    location / {
        agent_canary all key=$http_x_user_id baseline=v41 candidate=v42;
        proxy_pass http://agent_canary;
    }
--- request
HEAD /
--- more_headers
X-User-Id: alice
--- response_headers
X-Agent: candidate
--- response_body:



=== TEST 12: requests in a pipeline are decided one by one
--- config
    location / {
        agent_canary support key=$http_x_user_id baseline=v41 candidate=v42;
        proxy_pass http://agent_canary;
    }
--- pipelined_requests eval
["GET /", "GET /", "GET /"]
--- more_headers eval
["X-User-Id: alice", "X-User-Id: carol", "X-User-Id: grace"]
--- response_body eval
["candidate\n", "baseline\n", "candidate\n"]

#!/usr/bin/env perl

# Who goes where and why: the order of decisions of the design, each step with
# its reason, and where nginx lets the directives be written.
#
# Buckets under the salt "support", by t/util/xxh3.c and by hand:
#     grace 7139    alice 27717    carol 48061    bob 67756    erin 91488

use strict;
use warnings;

use File::Basename qw(dirname);

use lib dirname(__FILE__) . '/lib';
use Canary::Spec;
use Test::Nginx::Socket;

# Every request goes through one location; what was decided comes back in
# headers, and who answered in X-Agent.
my $decision = <<'END';
proxy_pass http://agent_canary;
add_header X-Decision "$agent_canary_arm $agent_canary_reason" always;
END

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value('http_config', Canary::Spec::http_config($block->stale)
                      . ($block->http_config // ''));

    my $flag = $block->flag;
    $block->set_value('config', <<"END") if defined $flag;
        location / {
            agent_canary $flag key=\$http_x_user_id tenant=\$http_x_tenant
                         baseline=v41 candidate=v42;
            @{[$block->location // '']}
            $decision
        }
END
    $block->set_value('request', 'GET /') if !defined $block->request;
    $block->set_value('no_error_log', '[error]')
        if !defined $block->error_log && !defined $block->stale;
});

no_shuffle();
no_root_location();
no_long_string();
repeat_each(1);
plan('no_plan');
run_tests();

__DATA__

=== TEST 1: a bucket below the percent: candidate
--- flag: support
--- more_headers
X-User-Id: alice
--- response_headers
X-Agent: candidate
X-Decision: candidate split



=== TEST 2: a bucket above the percent: baseline
--- flag: support
--- more_headers
X-User-Id: carol
--- response_headers
X-Agent: baseline
X-Decision: baseline split



=== TEST 3: 0 percent is nobody
--- flag: zero
--- more_headers
X-User-Id: grace
--- response_headers
X-Agent: baseline
X-Decision: baseline split



=== TEST 4: 100 percent is everybody
--- flag: all
--- more_headers
X-User-Id: erin
--- response_headers
X-Agent: candidate
X-Decision: candidate split



=== TEST 5: no key
--- flag: all
--- response_headers
X-Agent: baseline
X-Decision: baseline targeting_key_missing



=== TEST 6: a key of blanks only is no key
--- flag: all
--- raw_request eval
"GET / HTTP/1.0\r\nX-User-Id: \t \t \r\n\r\n"
--- response_headers
X-Decision: baseline targeting_key_missing



=== TEST 7: blanks around a key do not count
--- flag: support
--- raw_request eval
"GET / HTTP/1.0\r\nX-User-Id: \talice\t \r\n\r\n"
--- response_headers
X-Agent: candidate
X-Decision: candidate split



=== TEST 8: no flag of that name is known
--- flag: never-written
--- more_headers
X-User-Id: alice
--- response_headers
X-Agent: baseline
X-Decision: baseline default



=== TEST 9: the kill switch is above everything but a missing key
--- flag: killed
--- location: agent_canary_override $http_x_override;
--- more_headers
X-User-Id: alice
X-Override: candidate
--- response_headers
X-Agent: baseline
X-Decision: baseline disabled



=== TEST 10: the kill switch and no key
--- flag: killed
--- response_headers
X-Decision: baseline targeting_key_missing



=== TEST 11: allow
--- flag: lists
--- more_headers
X-User-Id: bob
--- response_headers
X-Agent: candidate
X-Decision: candidate targeting_match



=== TEST 12: allow, a key that JSON wrote with an escape
--- flag: lists
--- raw_request eval
"GET / HTTP/1.0\r\nX-User-Id: k\xc3\xbcche\r\n\r\n"
--- response_headers
X-Decision: candidate targeting_match



=== TEST 13: deny
--- flag: lists
--- more_headers
X-User-Id: alice
--- response_headers
X-Agent: baseline
X-Decision: baseline targeting_match



=== TEST 14: neither allow nor deny
--- flag: lists
--- more_headers
X-User-Id: grace
--- response_headers
X-Decision: candidate split



=== TEST 15: a tenant has its own percent: 100
--- flag: tenants
--- more_headers
X-User-Id: erin
X-Tenant: acme
--- response_headers
X-Decision: candidate split



=== TEST 16: a tenant has its own percent: 0
--- flag: tenants
--- more_headers
X-User-Id: grace
X-Tenant: slow
--- response_headers
X-Decision: baseline split



=== TEST 17: a tenant has its own percent: 5
--- flag: tenants
--- more_headers
X-User-Id: grace
X-Tenant: some
--- response_headers
X-Decision: baseline split



=== TEST 18: a tenant the flag does not name
--- flag: tenants
--- more_headers
X-User-Id: grace
X-Tenant: other
--- response_headers
X-Decision: candidate split



=== TEST 19: tripped: all the way back
--- flag: tripped
--- more_headers
X-User-Id: grace
--- response_headers
X-Agent: baseline
X-Decision: baseline tripped



=== TEST 20: tripped: allow does not hold
--- flag: tripped
--- more_headers
X-User-Id: erin
--- response_headers
X-Decision: baseline tripped



=== TEST 21: tripped: an override to the candidate does not hold
--- flag: tripped
--- location: agent_canary_override candidate;
--- more_headers
X-User-Id: grace
--- response_headers
X-Agent: baseline
X-Decision: baseline tripped



=== TEST 22: tripped back to the previous stage: below it
--- flag: stepped
--- more_headers
X-User-Id: alice
--- response_headers
X-Agent: candidate
X-Decision: candidate tripped



=== TEST 23: tripped back to the previous stage: above it
--- flag: stepped
--- more_headers
X-User-Id: erin
--- response_headers
X-Agent: baseline
X-Decision: baseline tripped



=== TEST 24: tripped back to the previous stage: deny still holds
--- flag: stepped
--- more_headers
X-User-Id: grace
--- response_headers
X-Decision: baseline tripped



=== TEST 25: tripped back to the previous stage: so does an override
--- flag: stepped
--- location: agent_canary_override baseline;
--- more_headers
X-User-Id: alice
--- response_headers
X-Decision: baseline tripped



=== TEST 26: a higher epoch lifts the trip
--- flag: lifted
--- more_headers
X-User-Id: erin
--- response_headers
X-Agent: candidate
X-Decision: candidate split



=== TEST 27: override to the candidate, above deny
--- flag: lists
--- location: agent_canary_override $http_x_override;
--- more_headers
X-User-Id: alice
X-Override: candidate
--- response_headers
X-Agent: candidate
X-Decision: candidate override



=== TEST 28: override to the baseline, above allow
--- flag: lists
--- location: agent_canary_override $http_x_override;
--- more_headers
X-User-Id: bob
X-Override: baseline
--- response_headers
X-Agent: baseline
X-Decision: baseline override



=== TEST 29: an empty override forces nothing
--- flag: support
--- location: agent_canary_override $http_x_override;
--- more_headers
X-User-Id: alice
--- response_headers
X-Decision: candidate split



=== TEST 30: an override by another word forces nothing
--- flag: support
--- location: agent_canary_override $http_x_override;
--- more_headers
X-User-Id: alice
X-Override: CANDIDATE
--- response_headers
X-Decision: candidate split



=== TEST 31: there is no override without the directive
--- flag: support
--- more_headers
X-User-Id: carol
X-Override: candidate
--- response_headers
X-Decision: baseline split



=== TEST 32: dry run decides but does not route
--- flag: all
--- location: agent_canary_dry_run on;
--- more_headers
X-User-Id: alice
--- response_headers
X-Agent: baseline
X-Decision: candidate split



=== TEST 33: stale and held: the same side, another reason
--- flag: support
--- stale: 1ms hold
--- more_headers
X-User-Id: alice
--- response_headers
X-Agent: candidate
X-Decision: candidate stale



=== TEST 34: the server's directives hold in its locations
--- config
    agent_canary all key=$http_x_user_id baseline=v41 candidate=v42;
    agent_canary_dry_run on;
    location / {
        proxy_pass http://agent_canary;
        add_header X-Decision "$agent_canary_arm $agent_canary_reason" always;
    }
--- more_headers
X-User-Id: erin
--- response_headers
X-Agent: baseline
X-Decision: candidate split



=== TEST 35: a location has its own
--- config
    agent_canary all key=$http_x_user_id baseline=v41 candidate=v42;
    agent_canary_dry_run on;
    location / {
        agent_canary zero key=$http_x_user_id baseline=v41 candidate=v42;
        agent_canary_dry_run off;
        proxy_pass http://agent_canary;
        add_header X-Decision "$agent_canary_flag $agent_canary_arm" always;
    }
--- more_headers
X-User-Id: erin
--- response_headers
X-Agent: baseline
X-Decision: zero baseline



=== TEST 36: a location turns it off
--- config
    agent_canary all key=$http_x_user_id baseline=v41 candidate=v42;
    location / {
        agent_canary off;
        proxy_pass http://v41;
        add_header X-Decision "<$agent_canary_flag>" always;
    }
--- more_headers
X-User-Id: erin
--- response_headers
X-Agent: baseline
X-Decision: <>



=== TEST 37: the http block's directive holds everywhere
--- http_config
    agent_canary all key=$http_x_user_id baseline=v41 candidate=v42;
    agent_canary_override baseline;
--- config
    location / {
        proxy_pass http://agent_canary;
        add_header X-Decision "$agent_canary_arm $agent_canary_reason" always;
    }
--- more_headers
X-User-Id: erin
--- response_headers
X-Agent: baseline
X-Decision: baseline override



=== TEST 38: a nested location inherits
--- config
    location / {
        agent_canary all key=$http_x_user_id baseline=v41 candidate=v42;
        location /deep/ {
            proxy_pass http://agent_canary;
        }
    }
--- request
GET /deep/er
--- more_headers
X-User-Id: erin
--- response_headers
X-Agent: candidate



=== TEST 39: two flags with one key draw independently
--- config
    location /support {
        agent_canary support key=$http_x_user_id baseline=v41 candidate=v42;
        return 200 "$agent_canary_bucket\n";
    }
    location /other {
        agent_canary other key=$http_x_user_id baseline=v41 candidate=v42;
        return 200 "<$agent_canary_bucket>$agent_canary_reason\n";
    }
--- request eval
["GET /support", "GET /other"]
--- more_headers
X-User-Id: alice
--- response_body eval
["27717\n", "<>default\n"]



=== TEST 40: every variable of a candidate
--- config
    location / {
        agent_canary support key=$http_x_user_id tenant=$http_x_tenant
                     baseline=v41 candidate=v42;
        return 200 "flag $agent_canary_flag
arm $agent_canary_arm
upstream $agent_canary_upstream
cohort $agent_canary_cohort
bucket $agent_canary_bucket
percent $agent_canary_percent
reason $agent_canary_reason
epoch $agent_canary_epoch
bundle $agent_canary_bundle
mode $agent_canary_mode
tenant $agent_canary_tenant
";
    }
--- more_headers
X-User-Id: alice
X-Tenant: acme
--- response_body
flag support
arm candidate
upstream v42
cohort 50
bucket 27717
percent 30
reason split
epoch 7
bundle support-42
mode guarded
tenant acme



=== TEST 41: every variable without a key
--- config
    location / {
        agent_canary support key=$http_x_user_id baseline=v41 candidate=v42;
        return 200 "<$agent_canary_flag><$agent_canary_arm><$agent_canary_upstream><$agent_canary_cohort><$agent_canary_bucket><$agent_canary_reason><$agent_canary_epoch><$agent_canary_bundle><$agent_canary_mode><$agent_canary_tenant><$agent_canary_key_hash>";
    }
--- response_body: <support><baseline><v41><><><targeting_key_missing><7><support-41><guarded><><>



=== TEST 42: the cohort follows the flag's own ladder
--- config
    location / {
        agent_canary stages key=$http_x_user_id baseline=v41 candidate=v42;
        return 200 "$agent_canary_cohort";
    }
--- pipelined_requests eval
["GET /", "GET /", "GET /"]
--- more_headers eval
["X-User-Id: grace", "X-User-Id: alice", "X-User-Id: erin"]
--- response_body eval
["10", "50", "100"]



=== TEST 43: the variables outside of the directive are empty
--- config
    location / {
        return 200 "<$agent_canary_flag><$agent_canary_arm><$agent_canary_upstream><$agent_canary_percent><$agent_canary_key_hash>";
    }
--- response_body: <><><><><>



=== TEST 44: the key's pseudonym: keyed, stable, blind to blanks
--- config
    location / {
        agent_canary support key=$http_x_user_id baseline=v41 candidate=v42;
        return 200 "$agent_canary_key_hash";
    }
--- pipelined_requests eval
["GET /", "GET /"]
--- more_headers eval
["X-User-Id: alice", "X-User-Id: \talice"]
--- response_body_like eval
# HMAC-SHA256 under the 32 bytes "s" of the state file, by openssl
["^80ffa9a6bcf29f1c\$", "^80ffa9a6bcf29f1c\$"]



=== TEST 45: a key of several parts
--- config
    location / {
        agent_canary support key=a$arg_x baseline=v41 candidate=v42;
        return 200 "$agent_canary_bucket";
    }
--- request
GET /?x=lice
--- response_body: 27717



=== TEST 46: stale, when the baseline is wanted then
--- flag: all
--- stale: 1ms baseline
--- more_headers
X-User-Id: alice
--- response_headers
X-Agent: baseline
X-Decision: baseline stale



=== TEST 47: stale does not touch who is on a list
--- flag: lists
--- stale: 1ms baseline
--- more_headers
X-User-Id: bob
--- response_headers
X-Agent: candidate
X-Decision: candidate targeting_match



=== TEST 48: an upstream by its variable
--- config
    location / {
        agent_canary support key=$http_x_user_id baseline=v41 candidate=v42;
        proxy_pass http://$agent_canary_upstream;
    }
--- more_headers
X-User-Id: alice
--- response_headers
X-Agent: candidate

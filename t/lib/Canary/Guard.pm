package Canary::Guard;

# What the stories of the guard share: how long a rollback takes and how many
# requests it costs, what is in the audit, and the line that lifts a trip.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Exporter qw(import);
use JSON::PP qw(decode_json encode_json);
use Test::More;
use Time::HiRes qw(time);

use Canary::Story;
use Canary::Util qw(command_output root slow slurp spew wait_until);

our @EXPORT_OK = qw(audit guard_story heal lift rolled_back rules settled
                    tell with_acl);

my %well = ('error-rate' => 0, 'in-band-rate' => 0, 'denied-rate' => 0,
            'tokens-factor' => 1, cost => 0, latency => 0, hang => 0);


# Prices of what demo/agent calls its models: USD for each token.
my $prices = encode_json({ map { ("agent-$_" => {
    input_cost_per_token => 0.00001, output_cost_per_token => 0.001 })
} qw(baseline candidate) });


# guard_story(as of Canary::Story): one that observes everything
sub guard_story {
    my (%how) = @_;
    my $location = delete $how{location} // '';
    my $http = delete $how{http} // '';
    my $story = Canary::Story->new(
        state => 1, api => 'trip',
        location => "$location
            agent_canary_usage    auto;
            agent_canary_cost     \$upstream_http_x_agent_cost_usd;
            agent_canary_outcome  \$upstream_http_x_agent_outcome;
            agent_canary_deadline 400ms;
            proxy_read_timeout    3s;
            proxy_next_upstream   off;",
        %how);

    my $file = $story->dir . '/prices.json';
    spew($file, $prices);
    $story->{http} = "agent_canary_prices $file; $http";
    return $story;
}


# guardrails with these rules: one list of pairs each
sub rules {
    my (@rules) = @_;
    return encode_json({ rules => [map { +{ @$_ } } @rules] });
}


sub candidate_requests {
    my ($nginx) = @_;
    my $arm = $nginx->flag('support')->{arms}{candidate};
    return ($arm->{requests} // 0) + ($arm->{in_flight} // 0);
}


# Until both arms have answered so many more questions: one test.
sub settled {
    my ($nginx, $requests, $what) = @_;
    my $goal;

    ok(wait_until(30, sub {
        my $arms = ($nginx->flag('support') // {})->{arms} or return;
        my $n = $arms->{candidate}{requests};
        $goal //= $n + $requests;
        $n >= $goal && $arms->{baseline}{requests} > 0;
    }), $what) or diag(explain($nginx->flag('support')));
}


# Does something to the candidate and waits for the rollback, which has to
# come within some seconds.  Five tests; returns the record of the trip.
sub rolled_back {
    my ($story, $what, $do, %how) = @_;
    my $nginx = $how{nginx} // $story->nginx;
    my $requests = candidate_requests($nginx);
    my $began = time;
    my ($trip, $after);

    $do->();

    my $within = ($how{within} // 10) * slow();

    wait_until(1.5 * ($how{within} // 10), sub {
        my $flag = $nginx->flag('support');
        return if !$flag || !$flag->{tripped};
        $after = time - $began;
        $trip = $flag->{trip};
    });

    ok($trip, "$what: rolled back") or do {
        diag(explain($nginx->flag('support')));
        diag($_->log_text) for @{ $story->{sidecars} };
        return {};
    };

    # the slower workers have a millisecond, and then nobody gets there
    $story->arms_are($story->expected($how{percent} // 0),
                     "$what: nobody gets the candidate any more");

    my $n = candidate_requests($nginx) - $requests;
    my $record = $trip->{record} // {};
    note(sprintf '%s: %.2f s and %d requests until back', $what, $after, $n);
    note($record->{reason} // 'no reason');

    cmp_ok($after, '<', $within, "$what: within seconds");
    is($record->{metric}, $how{metric}, "$what: for the right reason");
    like($record->{by}, qr{^agent-canaryd/}, "$what: by the sidecar");
    return $record;
}


sub heal {
    my ($story, $name) = @_;
    $story->agent($name // 'candidate')->set(
        join '&', map { "$_=$well{$_}" } sort keys %well);
}


# The audit entries, each as a hash of its fields.
sub audit {
    my ($redis) = @_;
    my $entries = $redis->cmd('XRANGE', 'agent-canary-fleet:audit', '-', '+');
    return map { +{ @{ $_->[1] } } } @{ $entries // [] };
}


# Runs the command that the sidecar logged, as a person would: four tests.
sub lift {
    my ($story, $sidecar, $epoch, %also) = @_;
    my ($line) = reverse $sidecar->log_text =~ /to lift it: (.*)/g;
    my ($here) = reverse $sidecar->log_text =~ /to lift it from here: (.*)/g;
    my $what = "HSET agent-canary:flag:support epoch $epoch";

    is($line, "redis-cli $what", 'the log says how to lift it');
    is($story->nginx->flag('support')->{trip}{lift}, $line,
       'and so does the status');
    is($here, 'redis-cli -p ' . $story->redis->port . " $what",
       'the log says where');
    $story->redis->flag(support => %also) if %also;
    command_output(split ' ', $here // 'false');
    ok($story->nginx->wait_flag('support', epoch => $epoch, tripped => 0),
       'which lifts it');
}


# Each of these is a candidate that does what it must not, is taken back for
# that, and is lifted by the line that the sidecar logs:
# [what, metric, guardrails, settings of demo/agent, limits of rolled_back()].
# The flag begins with epoch 1 and the guardrails of the first.
sub tell {
    my ($story, $sidecar, @stories) = @_;
    my $nginx = $story->nginx;
    my $epoch = 1;

    for my $one (@stories) {
        my ($what, $metric, undef, $settings, %how) = @$one;

        settled($nginx, 60, "$what: first all is well");

        my $record = rolled_back($story, $what, sub {
            $story->agent('candidate')->set($settings);
        }, metric => $metric, %how);

        is($record->{epoch}, $epoch, "$what: of its epoch");
        ok(($record->{evidence}{requests} // 0) > 0, "$what: with evidence");
        ok(wait_until(5, sub { audit($story->redis) == $epoch }),
           "$what: one audit entry");

        my ($entry) = reverse audit($story->redis);
        is_deeply(decode_json($entry->{record} // '{}'), $record,
                  "$what: which says the same");
        is("$entry->{flag} $entry->{id}", "support support:$epoch:0",
           "$what: and of what");

        heal($story);
        $epoch++;
        my $next = $stories[$epoch - 1] // $stories[0];
        lift($story, $sidecar, $epoch, guardrails => $next->[2] || '{}');
    }

    # the trips in Redis are those of the sidecar, and no trip was repeated
    my $last = $story->redis->cmd('GET', 'agent-canary:trip:support');
    is(decode_json($last)->{epoch}, $epoch - 1, 'Redis has the last trip');
    settled($nginx, 200, 'it goes on');
    ok(!$nginx->flag('support')->{tripped}, 'and is left alone');
    is(scalar audit($story->redis), $epoch - 1,
       'nothing else is in the audit');
    unlike($sidecar->log_text, qr/NOPERM/, 'its rights were enough');
}


# What a Redis with the sidecar's user of conf/redis.acl is started with, and
# what the sidecar needs to log in as that user.
sub with_acl {
    my ($story) = @_;
    my $path = $story->dir . '/redis';
    my $hash = sha256_hex('of-the-story');
    my ($acl) = slurp(root() . '/conf/redis.acl')
        =~ /^(user canary-sidecar .*)/m;
    $acl =~ s/#0{64}/#$hash/;

    spew("$path.acl", "user default on nopass ~* &* +\@all\n$acl\n");
    spew("$path.pass", "of-the-story\n");
    chmod 0600, "$path.pass";
    $story->{redis_options} = ['--aclfile', "$path.acl"];

    return ('--redis-user', 'canary-sidecar',
            '--redis-password-file', "$path.pass");
}


1;

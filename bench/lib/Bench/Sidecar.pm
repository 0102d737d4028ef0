package Bench::Sidecar;

# What agent-canaryd takes of a machine: 100 flags of four rules each, a reading
# every 250 ms, and users who ask for all of them, so that most flags have
# changed at each reading.  One request of a hundred fails.

use strict;
use warnings;

use Bench qw(at_most cpu_time on_cpu program resident say_table);
use Bench::Nginx;
use Canary::Nginx;
use Canary::Process qw(spawn);
use Canary::Redis;
use Canary::Sidecar;
use Canary::Util qw(pause);

use constant {
    FLAGS   => 100,
    PERCENT => 20,
    RATE    => 1_000,                       # requests a second, of all flags
    SETTLE  => 5,                           # seconds
    WATCHED => 20,
    SHARE   => 1,                           # % of a CPU
    MB      => 16,
};

my $guardrails = '{"rules":[{"metric":"error_rate","max":0.05},'
    . '{"metric":"cost_usd","max_ratio":1.5},'
    . '{"metric":"latency_p95_ms","max_ratio":1.5},'
    . '{"metric":"denied_rate","max":0.02}]}';


sub run {
    my ($dir) = @_;
    my $redis = Canary::Redis->new(dir => $dir)->start;
    my @names = map { "flag$_" } 1 .. FLAGS;

    $redis->flag($_, percent => PERCENT, guardrails => $guardrails) for @names;

    my $agents = agents($dir);
    my $nginx = router($dir, $redis, @names)->start;
    $nginx->wait_flag($names[-1], state => 'ok')
        or die "the flags did not arrive:\n" . $nginx->log_text;

    my $sidecar = Canary::Sidecar->new(dir => $dir, name => 'sidecar',
        nginx => $nginx, redis => $redis)->start;
    my $pid = $sidecar->process->pid;

    my @rows = map { watch($sidecar, $pid, @$_) } (
        ['1,000 requests/s', [on_cpu(0), program('users'), $nginx->port, RATE,
                              1, FLAGS, 3 * (SETTLE + WATCHED)]],
        ['at rest'],
    );

    say_table('agent-canaryd, ' . FLAGS . ' flags, every 250 ms',
        ['', '% of a CPU', 'goal', '', 'MB resident', 'goal', ''], @rows);

    $_->stop for $sidecar, $nginx, $agents, $redis;
}


sub watch {
    my ($sidecar, $pid, $title, $command) = @_;
    my $users = $command && spawn('users', command => $command);

    pause(SETTLE);
    my $before = cpu_time($pid);
    pause(WATCHED);
    my $share = (cpu_time($pid) - $before) / WATCHED * 100;
    my $mb = resident($pid) / 1024;

    die 'there was a rollback: ' . $sidecar->log_text
        if $sidecar->log_text =~ /TRIPPED/;
    $users->stop if $users;

    return [$title, sprintf('%.2f', $share), '<= ' . SHARE,
            at_most($share, SHARE),
            sprintf('%.1f', $mb), '<= ' . MB, at_most($mb, MB)];
}


# Both arms alike.
sub agents {
    my ($dir) = @_;

    return Bench::Nginx->new(dir => $dir, workers => 1, name => 'agents',
        http => <<"END" . join('', map { <<"END" } qw(baseline candidate)),
    split_clients \$request_id \$fails { 1% 1; * ""; }
    split_clients \$request_id \$cost { 50% 0.01; 30% 0.02; * 0.05; }
END
    server {
        listen unix:$dir/$_.sock;
        location / {
            if (\$fails) { return 500; }
            add_header X-Agent-Cost-USD \$cost;
            return 200 well;
        }
    }
END
        server => '')->start;
}


sub router {
    my ($dir, $redis, @names) = @_;

    return Bench::Nginx->new(dir => $dir, workers => 2,
        modules => [Canary::Nginx::module()], http => <<"END",
    agent_canary_zone canary:16m;
    agent_canary_redis @{[$redis->url]};
    agent_canary_cost \$upstream_http_x_agent_cost_usd;
    upstream baseline { server unix:$dir/baseline.sock; }
    upstream candidate { server unix:$dir/candidate.sock; }
END
        server => <<"END" . join('', map { <<"END" } @names));
        location /canary/ { agent_canary_api trip; }
END
        location = /$_ {
            agent_canary $_ key=\$http_x_user_id
                         baseline=baseline candidate=candidate;
            proxy_pass http://agent_canary;
        }
END
}


1;

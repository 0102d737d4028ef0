package Bench::Flip;

# How long it takes from an HSET until every worker obeys; bench/flip.c says
# how that is measured.

use strict;
use warnings;

use Exporter qw(import);

use Bench qw(at_most percentile program say_table);
use Bench::Nginx;
use Canary::Nginx;
use Canary::Redis;
use Canary::Util qw(command_output);

our @EXPORT_OK = qw(flag_nginx flips line titles);

use constant {
    WORKERS => 4,
    FLIPS   => 1_000,
    CLI     => 500,
    P50     => 2_000,                       # microseconds
    P99     => 10_000,
};


sub run {
    my ($dir) = @_;
    my $redis = Canary::Redis->new(dir => $dir)->start;
    my $nginx = flag_nginx($dir, $redis, 1);

    $redis->flag('flag1', percent => 0);
    $nginx->start;
    $nginx->wait_flag('flag1', state => 'ok')
        or die "the flag did not arrive:\n" . $nginx->log_text;

    my @open = flips($nginx, $redis, FLIPS, 1);
    my @cli = flips($nginx, $redis, CLI, 1, 'redis-cli');

    $nginx->stop;

    say_table('From HSET until ' . WORKERS . ' workers obey, milliseconds',
        [titles()], line('HSET over an open connection', 1, @open),
        line('redis-cli, from its start', 0, @cli));
}


sub titles { return ('', 'flips', 'p50', 'goal', '', 'p99', 'goal', '', 'max') }


sub line {
    my ($title, $goals, @times) = @_;
    my @cells = ($title, scalar @times);

    for my $goal ([50, P50], [99, P99]) {
        my ($percent, $limit) = @$goal;
        my $time = percentile($percent, @times);

        push @cells, sprintf('%.2f', $time / 1000),
            $goals ? ('<= ' . $limit / 1000, at_most($time, $limit))
                   : ('', '');
    }

    return [@cells, sprintf '%.2f', percentile(100, @times) / 1000];
}


# An nginx that answers /flag<n> with the arm of the user, without an agent.
sub flag_nginx {
    my ($dir, $redis, $flags, %how) = @_;
    my $locations = join '', map { <<"END" } 1 .. $flags;
        location = /flag$_ {
            agent_canary flag$_ key=\$http_x_user_id
                         baseline=baseline candidate=candidate;
            return 200 \$agent_canary_arm;
        }
END

    return Bench::Nginx->new(dir => $dir, workers => WORKERS,
        modules => [Canary::Nginx::module()], level => 'notice', %how,
        http => <<"END", server => <<"END");
    default_type text/plain;
    agent_canary_zone canary:@{[$how{zone} // '8m']};
    agent_canary_redis @{[$redis->url]};
    upstream baseline { server unix:nobody.sock; }
    upstream candidate { server unix:nobody.sock; }
END
        location = /pid { return 200 \$pid; }
        location /canary/ { agent_canary_api; }
$locations
END
}


# The microseconds of that many flips.
sub flips {
    my ($nginx, $redis, $count, $flags, @how) = @_;
    my ($text, $status) = command_output(program('flip'), $nginx->port,
        $redis->port, WORKERS, $count, $flags, @how);

    die "the flips failed: $text" if $status;
    return split /\n/, $text;
}


1;

package Bench::Cpu;

# CPU time of a proxied request, beside every other way to do the same.
#
# Each router has one process, bound to a CPU of its own when there are two;
# client, agents and Redis share the other.  Sixteen connections, one question
# at a time on each, keep the router busy.  The routers take turns, round
# after round, so that whatever slows the machine slows them all; a ratio is
# made within one round, and what is told is the median of all rounds.

use strict;
use warnings;

use Bench qw(at_most below cpu_time load median on_cpu percentile say_table);
use Bench::Routers;
use Canary::Util qw(command_output root);

use constant {
    ROUNDS      => 31,
    REQUESTS    => 15_000,
    WARM_UP     => 5_000,
    CONNECTIONS => 16,
    GOAL        => 1.03,
};

# [key, title, the router decides for each user while it runs]
my @rows = (
    ['static',        'static proxy_pass'],
    ['agent_canary',  'agent_canary, 25 %'],
    ['split_clients', 'split_clients, needs a reload to change', 1],
    ['lua_dict',      'Lua, shared dict', 1],
    ['lua_redis',     'Lua, asks Redis for each request', 1],
    ['haproxy',       'HAProxy, xxh64, runtime variable', 1],
);


sub run {
    my ($dir) = @_;
    my ($text, $status) = command_output(root() . '/.ci/debian', 'package',
        'bookworm', 'lua-nginx-redis', root() . '/build/bench/lua-nginx-redis');
    die $text if $status;

    my $routers = Bench::Routers->new(dir => $dir);
    my (%router, %time, %ratio);

    for my $row (@rows) {
        my ($key) = @$row;
        $router{$key} = start($routers, $key);
    }

    for my $round (1 .. ROUNDS) {
        my %now = map { $_->[0] => measure($router{ $_->[0] }) } @rows;

        for my $key (keys %now) {
            push @{ $time{$key} }, $now{$key};
            push @{ $ratio{$key} }, $now{$key} / $now{static};
        }
    }

    my $ours = median(@{ $ratio{agent_canary} });

    say_table('CPU time of a proxied request, median of ' . ROUNDS . ' rounds',
        ['', 'microseconds', 'of static', 'quartiles', 'goal', ''],
        map { line($_, $time{ $_->[0] }, $ratio{ $_->[0] }, $ours) } @rows);

    $_->stop for values %router;
}


sub line {
    my ($row, $time, $ratio, $ours) = @_;
    my ($key, $title, $peer) = @$row;
    my $middle = median(@$ratio);
    my @cells = ($title, sprintf '%.2f', median(@$time) * 1e6);

    return \@cells if $key eq 'static';

    push @cells, sprintf('%.3f', $middle),
        sprintf('%.3f-%.3f', map { percentile($_, @$ratio) } 25, 75);

    return [@cells, '<= ' . GOAL, at_most($middle, GOAL)] if !$peer;
    return [@cells, sprintf('> %.3f', $ours), below($ours, $middle)];
}


sub start {
    my ($routers, $key) = @_;
    my $router = $routers->$key(name => $key, prefix => [on_cpu(1)])->start;

    if ($key eq 'agent_canary') {
        $router->wait_flag('support', state => 'ok')
            or die "the flag did not arrive:\n" . $router->log_text;
    }

    my $share = load($router->port, CONNECTIONS, WARM_UP);
    Bench::Routers::check_share($share, $key ne 'static');

    return $router;
}


# Seconds of the router's process for one request.
sub measure {
    my ($router) = @_;
    my $pid = $router->server_pid;
    my $before = cpu_time($pid);

    load($router->port, CONNECTIONS, REQUESTS);

    return (cpu_time($pid) - $before) / REQUESTS;
}


1;

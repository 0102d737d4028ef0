package Bench::Leaks;

# Whether memory and descriptors stay what they are over 200 reloads and over
# 1,000 connections to Redis that were lost and made again.  Beside it an nginx
# without the module goes through the same reloads.
#
# Memory is what no file and no other process backs.  It is read after each
# reload, of workers after the same number of requests; the slope is that of
# the last three quarters, when the heap has found its size.  Of descriptors,
# one more may be open at any moment: the medians of the first and of the last
# of these quarters are compared.
#
# A link that breaks again within a few seconds waits longer each time: to see
# 1,000 new connections in a minute or two, there are 25 instances of nginx on
# one Redis, and their memory is added up.

use strict;
use warnings;

use List::Util qw(sum);

use Bench qw(at_most descriptors load median memory say_table slope);
use Bench::Routers;
use Canary::Util qw(pause wait_until);

use constant {
    RELOADS    => 200,
    LINKS      => 25,
    BREAKS     => 40,
    RECOVERED  => 4.1,                      # seconds: all is as it was before
    REQUESTS   => 500,
    SETTLED    => 1 / 4,
    KB         => 0.5,                      # of growth for each
};


sub run {
    my ($dir) = @_;
    my $routers = Bench::Routers->new(dir => $dir);
    my @users = map { qq("user-$_") } 1 .. 1_000;

    $routers->redis->flag('support', allow => '[' . join(',', @users) . ']');

    my @rows = (
        reloads('reload: ', canary($routers, 'reloaded'), 1),
        reloads('reload without the module: ',
                $routers->static(name => 'static', workers => 2)->start),
        reconnects($routers,
                   map { canary($routers, "link_$_") } 1 .. LINKS),
    );

    say_table('Growth', ['', 'times', 'kB before', 'after', 'kB each', 'goal',
                         '', 'descriptors', 'after', 'goal', ''], @rows);
}


sub canary {
    my ($routers, $name) = @_;
    my $nginx = $routers->agent_canary(name => $name, workers => 2,
        zone => "8m state=$routers->{dir}/$name.state")->start;

    $nginx->wait_flag('support', state => 'ok')
        or die "the flag did not arrive:\n" . $nginx->log_text;
    return $nginx;
}


sub reloads {
    my ($title, $nginx, $linked) = @_;
    my (%kb, %fds);

    for my $round (0 .. RELOADS) {
        my $attempts = $linked ? wait_redis($nginx, 0) : 0;

        if ($round) {
            $nginx->reload or die "nginx did not reload\n";
            wait_redis($nginx, $attempts) if $linked;
        }

        load($nginx->port, 1, REQUESTS);

        my %pids = (master  => [$nginx->process->pid],
                    workers => [$nginx->workers]);

        for (keys %pids) {
            push @{ $kb{$_} }, sum(map { memory($_) } @{ $pids{$_} });
            push @{ $fds{$_} }, sum(map { descriptors($_) } @{ $pids{$_} });
        }
    }

    $nginx->stop;
    return map { line("$title$_", 1, $kb{$_}, $fds{$_}) } qw(master workers);
}


# Redis ends one of the two connections of each link; nginx has a new pair
# soon.
sub reconnects {
    my ($routers, @nginx) = @_;
    my @pids = map { linked($_) } @nginx;
    my (@kb, @fds);

    for my $round (0 .. BREAKS) {
        if ($round) {
            my @before = map { wait_redis($_, 0) } @nginx;

            pause(RECOVERED);
            $routers->redis->cmd('CLIENT', 'KILL', 'TYPE',
                                 $round % 2 ? 'pubsub' : 'normal');
            wait_redis($nginx[$_], $before[$_]) for 0 .. $#nginx;
        }

        push @kb, sum(map { memory($_) } @pids);
        push @fds, sum(map { descriptors($_) } @pids);
    }

    $_->stop for @nginx;
    return line('lost connection: ' . LINKS . ' workers', LINKS, \@kb, \@fds);
}


# Waits for a link that was made after that many attempts; how many it took.
sub wait_redis {
    my ($nginx, $attempts) = @_;

    my $made = wait_until(15, sub {
        my $status = $nginx->status or return;
        my $redis = $status->{redis};

        $redis->{state} eq 'ready' && $redis->{connects} > $attempts
            && $redis->{connects};
    });

    return $made if $made;
    die "nginx did not come back to Redis:\n" . $nginx->log_text;
}


# The worker that was started first keeps the link.
sub linked {
    my ($nginx) = @_;
    return ($nginx->workers)[0];
}


sub line {
    my ($title, $step, $kb, $fds) = @_;
    my $first = int(@$kb * SETTLED);
    my $growth = slope(@$kb[$first .. $#$kb]) / $step;
    my ($before, $after) = map { median(@$fds[@$_]) }
        [$first .. 2 * $first - 1], [@$fds - $first .. $#$fds];

    return [$title, $#$kb * $step, $kb->[0], $kb->[-1], sprintf('%+.3f', $growth),
            '<= ' . KB, at_most($growth, KB), $before, $after,
            "<= $before", at_most($after, $before)];
}


1;

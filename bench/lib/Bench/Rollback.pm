package Bench::Rollback;

# How soon a candidate is taken back: a real nginx, a real agent-canaryd and a
# real Redis for each trial, users who ask at random moments, and a candidate
# that does one thing wrong from some moment on.  bench/users.c asks, and says
# what the time is.  Several trials run at once: none of them is busy.
#
# How many requests it takes where there are few is told by simulation: it
# would take hours.

use strict;
use warnings;

use IO::Socket::UNIX;
use List::Util qw(max);
use Time::HiRes qw(time);

use Bench qw(at_most output percentile program say_table);
use Bench::Nginx;
use Bench::Verdict;
use Canary::Nginx;
use Canary::Process qw(alive spawn);
use Canary::Redis;
use Canary::Sidecar;
use Canary::Util qw(command_output pause slurp spew);

use constant {
    PERCENT  => 20,
    AT_ONCE  => 8,                          # trials
    TRIALS   => 9,                          # of each row
    OTHERS   => 5,
    DEADLINE => 500,                        # ms
    GOAL     => 2,                          # seconds
    COSTS    => 20,
    SIGMA    => 1.5,                        # of lognormal costs
};

# What the state file of the sidecar is written by.
my @day = ('canary/*', map { "sidecar/$_" } qw(clock event flags fleet latch
                                               reader state status
                                               status_flag text window));

my $dearer = '{"rules":[{"metric":"cost_usd","max_ratio":1.1}]}';


# Each row is [title, trials, has the goal, how].  healthy: seconds until the
# candidate goes wrong; day: the sidecar has watched it for a day before.
sub rows {
    my @rates = (8, 20, 50);

    return (
        (map { ["from the start, $_ requests/s", TRIALS, 1,
                { rate => $_, healthy => 0 }] } @rates),
        (map { ["after 20 s of health, $_ requests/s", TRIALS, 1,
                { rate => $_, healthy => 20 }] } @rates),
        (map { ["after a day of health, $_ requests/s", TRIALS, 1,
                { rate => $_, healthy => 2, day => 1 }] } @rates),
        ['Redis is down, 20 requests/s', OTHERS, 1,
         { rate => 20, healthy => 5, redis_down => 1 }],
        ['it hangs, 20 requests/s', OTHERS, 1,
         { rate => 20, healthy => 5, wrong => 'hang' }],
        ['1.6 times the cost, limit 1.1, 50 requests/s', OTHERS, 0,
         { rate => 50, healthy => 5, wrong => 'cost',
           guardrails => $dearer }],
    );
}


sub run {
    my ($dir) = @_;
    my $agents = agents($dir);
    my @rows = rows();
    my @results = trials($dir, @rows);

    $agents->stop;

    say_table('From the first bad answer until the candidate is refused',
        ['', 'trials', 'seconds p50', 'goal', '', 'max', 'requests p50',
         'max'],
        map { line($rows[$_], $results[$_]) } 0 .. $#rows);

    Bench::Verdict::simulate('--total');
}


sub line {
    my ($row, $results) = @_;
    my ($title, $trials, $has_goal) = @$row;
    my ($time, $longest) = map { percentile($_, map { $_->[0] } @$results) }
        50, 100;

    return [$title, $trials, sprintf('%.2f', $time),
            $has_goal ? ('<= ' . GOAL, at_most($time, GOAL)) : ('', ''),
            sprintf('%.2f', $longest),
            map { percentile($_, map { $_->[1] } @$results) } 50, 100];
}


# -- trials -------------------------------------------------------------------

# The results of each row: [seconds, requests] of each trial.
sub trials {
    my ($dir, @rows) = @_;
    my (@waiting, @running, @results);

    for my $turn (1 .. max(map { $_->[1] } @rows)) {
        push @waiting, grep { $rows[$_][1] >= $turn } 0 .. $#rows;
    }

    my $number = 0;

    while (@waiting || @running) {
        if (@waiting && @running < AT_ONCE) {
            my $row = shift @waiting;
            my $trial = start("$dir/" . ++$number, $number, %{ $rows[$row][3] });
            push @running, { %$trial, row => $row };
        }

        for my $trial (@running) {
            go_wrong($trial) if !$trial->{gone} && time >= $trial->{due};
            next if alive($trial->{users});
            push @{ $results[ $trial->{row} ] }, result($trial);
            $trial->{over} = 1;
        }

        @running = grep { !$_->{over} } @running;
        pause();
    }

    return @results;
}


# What a trial is made of, with users who ask.
sub start {
    my ($dir, $seed, %how) = @_;
    mkdir $dir;
    chmod 0755, $dir;

    my $redis = Canary::Redis->new(dir => $dir)->start;
    my $nginx = router($dir, $redis, %how);
    my $sidecar = Canary::Sidecar->new(dir => $dir, name => 'sidecar',
                                       nginx => $nginx, redis => $redis);

    $redis->flag('support', percent => PERCENT,
                 $how{guardrails} ? (guardrails => $how{guardrails}) : ());
    $nginx->start;
    $nginx->wait_flag('support', state => 'ok')
        or die "the flag did not arrive:\n" . $nginx->log_text;

    my $hangs = ($how{wrong} // '') eq 'hang';
    my $users = spawn('users', log => "$dir/users",
        command => [program('users'), $nginx->port,
                    $how{rate} * 100 / PERCENT, $seed,
                    $hangs ? DEADLINE : 0]);

    spew("$sidecar->{home}/state", day($how{rate})) if $how{day};
    $sidecar->start;
    die $sidecar->log_text if $sidecar->log_text =~ /starting anew/;
    $redis->kill_hard if $how{redis_down};

    return { dir => $dir, redis => $redis, nginx => $nginx,
             sidecar => $sidecar, users => $users,
             wrong => $how{wrong} // 'error', due => time + $how{healthy} };
}


sub go_wrong {
    my ($trial) = @_;

    spew("$trial->{dir}/$trial->{wrong}", '');
    $trial->{gone} = 1;
}


# Ends it all.
sub result {
    my ($trial) = @_;
    my ($seconds, $requests) = slurp("$trial->{dir}/users")
        =~ /^([\d.]+) (\d+)$/
        or die slurp("$trial->{dir}/users") . $trial->{sidecar}->log_text;

    for my $process (map { $_->process } @$trial{qw(sidecar nginx redis)}) {
        $process->signal('TERM');
    }

    for my $process (map { $_->process } @$trial{qw(sidecar nginx redis)}) {
        $process->stop('KILL', 10) if !defined $process->wait_end(10);
    }

    return [$seconds, $requests];
}


# The state file of a sidecar after a day.
sub day {
    my ($rate) = @_;
    our %known;

    return $known{$rate} //= do {
        my ($text, $status) = command_output(program('day', @day), 'support',
                                             $rate);
        die "cannot simulate a day: $text" if $status;
        $text;
    };
}


# -- nginx --------------------------------------------------------------------

# An agent does wrong when the file says so that the router names in a header.
sub agents {
    my ($dir) = @_;
    my %cost = (cost => 0.01, dear => 0.016);
    my $costs = join '', map { costs($_, $cost{$_}) } sort keys %cost;

    # connections are taken by the kernel, and nobody reads them
    our $nobody = IO::Socket::UNIX->new(Local => "$dir/nobody.sock",
                                        Listen => 4096)
        or die "cannot listen: $!\n";
    chmod 0777, "$dir/nobody.sock";

    return Bench::Nginx->new(dir => $dir, workers => 1, name => 'agents',
        http => <<"END", server => '')->start;
$costs
    server {
        listen unix:$dir/baseline.sock;
        add_header X-Agent-Cost-USD \$cost;
        location / { return 200 well; }
    }
    server {
        listen unix:$dir/candidate.sock;
        location /hang {
            internal;
            proxy_pass http://unix:$dir/nobody.sock;
            proxy_read_timeout 1h;
        }
        location / {
            if (-f \$http_x_trial/error) {
                add_header X-Bad 1 always;
                return 500;
            }
            if (-f \$http_x_trial/cost) {
                add_header X-Bad 1;
                add_header X-Agent-Cost-USD \$dear;
                return 200 well;
            }
            if (-f \$http_x_trial/hang) {
                rewrite ^ /hang last;
            }
            add_header X-Agent-Cost-USD \$cost;
            return 200 well;
        }
    }
END
}


# Costs of this mean: the middles of as many equal parts of a lognormal
# distribution, one of them at random for each request.
sub costs {
    my ($name, $mean) = @_;
    my @costs = map { exp(SIGMA * normal(($_ - 0.5) / COSTS)) } 1 .. COSTS;
    my $sum = 0;

    $sum += $_ for @costs;

    return "    split_clients \$request_id \$$name {\n"
        . join('', map {
              sprintf "        %s %.6f;\n",
                  $_ == $#costs ? '*' : 100 / COSTS . '%',
                  $mean * COSTS * $costs[$_] / $sum
          } 0 .. $#costs)
        . "    }\n";
}


# The quantile of the normal distribution: its density, added up.
sub normal {
    my ($p) = @_;
    my $step = 1e-3;
    my ($x, $below) = (-6, 0);

    while ($below < $p) {
        $below += $step * exp(-$x * $x / 2) / sqrt(2 * 3.14159265358979);
        $x += $step;
    }

    return $x;
}


sub router {
    my ($dir, $redis, %how) = @_;
    my $agents = $dir =~ s{/[^/]*$}{}r;
    my $cost = ($how{wrong} // '') eq 'cost'
        ? 'agent_canary_cost $upstream_http_x_agent_cost_usd;' : '';

    return Bench::Nginx->new(dir => $dir, workers => 2,
        modules => [Canary::Nginx::module()], http => <<"END",
    agent_canary_zone canary:4m;
    agent_canary_redis @{[$redis->url]};
    upstream baseline { server unix:$agents/baseline.sock; }
    upstream candidate { server unix:$agents/candidate.sock; }
END
        server => <<"END");
        location / {
            agent_canary support key=\$http_x_user_id
                         baseline=baseline candidate=candidate;
            agent_canary_deadline @{[DEADLINE]}ms;
            $cost
            proxy_set_header X-Trial $dir;
            proxy_pass http://agent_canary;
        }
        location /canary/ { agent_canary_api trip; }
END
}


1;

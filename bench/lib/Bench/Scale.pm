package Bench::Scale;

# Many flags, and flags with long lists: time to start, time of a flip,
# memory, and what the poll of Redis costs while nothing happens.  That a
# decision costs the same is shown by "bench/run instructions".

use strict;
use warnings;

use IO::Socket::INET;
use Time::HiRes qw(time);

use Bench qw(at_most cpu_time memory say_table);
use Bench::Flip qw(flag_nginx flips line titles);
use Bench::Nginx;
use Canary::Redis;
use Canary::Util qw(pause wait_until);

use constant {
    FLAGS   => 10_000,
    ENTRIES => 100_000,
    FLIPS   => 1_000,
    START   => 1.0,                         # seconds
    IDLE    => 15,
    ZONE    => '128m',
    FOLLOWS => qr/following Redis at/,
};


sub run {
    my ($dir) = @_;
    my $redis = Canary::Redis->new(dir => $dir)->start;

    $redis->flag("flag$_", percent => 0) for 1 .. FLAGS;

    my $zone = many_flags($dir, $redis);
    memory_of_flags($dir, $redis, $zone);
    long_lists($dir, $redis);
}


# -- 10,000 flags -------------------------------------------------------------

sub many_flags {
    my ($dir, $redis) = @_;
    my $nginx = flag_nginx($dir, $redis, FLAGS, name => 'many', zone => ZONE);
    my $start = time;

    $nginx->start;
    wait_until(60, sub { $nginx->log_text =~ FOLLOWS })
        or die "nginx does not follow Redis:\n" . tail($nginx);
    my $ready = time - $start;

    my ($cpu, $share) = idle($nginx);

    say_table('10,000 flags', ['', '', 'goal', ''],
        ['from start until Redis is followed, seconds',
         sprintf('%.2f', $ready), '<= ' . START, at_most($ready, START)],
        ['CPU time at rest, busiest of 4 workers, % of a CPU',
         sprintf('%.2f', $share * 100)],
        ['CPU time at rest, all workers, % of a CPU',
         sprintf('%.2f', $cpu * 100)]);

    say_table('From HSET until 4 workers obey, milliseconds', [titles()],
        line('one of 10,000 flags', 1,
             flips($nginx, $redis, FLIPS, FLAGS)));

    my $zone = zone_used($nginx);
    $nginx->stop;
    return $zone;
}


# What all workers together and the busiest one compute in a second without
# requests; as long as some polls take.
sub idle {
    my ($nginx) = @_;
    my @pids = $nginx->workers;
    my @before = map { cpu_time($_) } @pids;

    pause(IDLE);

    my @used = map { (cpu_time($pids[$_]) - $before[$_]) / IDLE } 0 .. $#pids;
    my ($all, $most) = (0, 0);

    for my $used (@used) {
        $all += $used;
        $most = $used if $used > $most;
    }

    return ($all, $most);
}


# -- memory -------------------------------------------------------------------

# One worker, after it has answered once for each flag.
sub memory_of_flags {
    my ($dir, $redis, $zone) = @_;
    my $many = flag_nginx($dir, $redis, FLAGS, name => 'many_1', workers => 1,
                          zone => ZONE);
    my $none = Bench::Nginx->new(dir => $dir, workers => 1, name => 'none',
        http => "    default_type text/plain;\n",
        server => join '', map { <<"END" } 1 .. FLAGS);
        location = /flag$_ { return 200 baseline; }
END

    $none->start;
    ask($none, 1 .. FLAGS);
    my $without = memory($none->server_pid);
    $none->stop;

    $many->start;
    wait_until(60, sub { $many->log_text =~ FOLLOWS })
        or die "nginx does not follow Redis:\n" . tail($many);
    ask($many, 1 .. FLAGS);
    my $with = memory($many->server_pid);
    $many->stop;

    say_table('Memory of a flag without lists, bytes', ['', ''],
        ['in the zone, for 4 workers', sprintf('%.0f', $zone / FLAGS)],
        ['in each worker', sprintf('%.0f', ($with - $without) * 1024
                                           / FLAGS)]);
}


sub ask {
    my ($nginx, @flags) = @_;
    my $client = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                       PeerPort => $nginx->port)
        or die "cannot connect: $!\n";

    for my $flag (@flags) {
        syswrite $client, "GET /flag$flag HTTP/1.1\r\nHost: localhost\r\n"
            . "X-User-Id: somebody\r\n\r\n";
        sysread $client, my $answer, 4096 or die "no answer\n";
        die "odd answer: $answer" if $answer !~ /(?:baseline|candidate)$/;
    }
}


sub zone_used {
    my ($nginx) = @_;
    my $status = $nginx->status or die "no status\n";

    return $status->{zone}{size} - $status->{zone}{free};
}


# -- 100,000 entries ----------------------------------------------------------

sub long_lists {
    my ($dir, $redis) = @_;
    my @names = map { sprintf 'somebody-%06d', $_ } 1 .. ENTRIES;
    my %field = (allow => '[' . join(',', map { qq("$_") } @names) . ']',
                 tenants => '{' . join(',', map { qq("$_":50) } @names) . '}');
    my (@memory, @flips);

    for my $field (sort keys %field) {
        my $nginx = flag_nginx($dir, $redis, 1, name => $field, zone => ZONE);

        $redis->drop_flag('flag1');
        $redis->flag('flag1', percent => 0);
        $nginx->start;
        $nginx->wait_flag('flag1', state => 'ok')
            or die "the flag did not arrive\n";

        my @pids = $nginx->workers;
        my @before = map { memory($_) } @pids;
        my $zone = zone_used($nginx);

        # flips make sure that each worker has read the flag
        $redis->flag('flag1', $field => $field{$field});
        $nginx->wait_flag('flag1', $field => ENTRIES)
            or die "the list did not arrive\n";
        my @times = flips($nginx, $redis, FLIPS / 5, 1);
        my @after = map { memory($_) } @pids;

        my @more = sort { $a <=> $b }
            map { ($after[$_] - $before[$_]) / 1024 } 0 .. $#pids;

        push @memory, ["100,000 in $field",
            sprintf('%.1f', length($field{$field}) / 2 ** 20),
            sprintf('%.1f', (zone_used($nginx) - $zone) / 2 ** 20),
            sprintf('%.1f', $more[$#more / 2]), sprintf('%.1f', $more[-1])];
        push @flips, line("a flag with 100,000 in $field", 0, @times);
        $nginx->stop;
    }

    say_table('Memory of a flag with a long list, megabytes',
        ['', 'JSON', 'zone', 'worker', 'the largest'], @memory);
    say_table('From HSET until 4 workers obey, milliseconds', [titles()],
              @flips);
}


sub tail {
    my ($nginx) = @_;
    return substr $nginx->log_text, -2_000;
}


1;

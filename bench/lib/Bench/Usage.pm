package Bench::Usage;

# What it costs to read tokens from answers while they pass.  Two nginx that
# differ in "agent_canary_usage" only: instructions by callgrind, and CPU time
# of a worker, in turns, so that whatever slows the machine slows both.  Answers
# come as files, 4 KB a read, or as from a model, each event by itself
# (bench/usage.c, bench/agent.c).

use strict;
use warnings;

use IO::Socket::INET;

use Bench qw(at_least at_most cpu_time load median on_cpu percentile program
             say_table);
use Bench::Answers qw(answers write_answers);
use Bench::Callgrind qw(instructions);
use Bench::Routers;
use Canary::Process qw(spawn);
use Canary::Util qw(command_output free_port slurp wait_until);

use constant {
    WARM_UP     => 20,                      # requests, under callgrind
    REQUESTS    => 100,
    READINGS    => 20,                      # of an answer, event by event
    ROUNDS      => 41,
    FILES       => 500,                     # of a round
    STREAMS     => 64,
    CONNECTIONS => 32,
    INTERVAL    => 1_000,                   # microseconds between events
    PER_BYTE    => 3,
    THROUGHPUT  => 0.97,
};

# Streams of text whose events do not bring usage, each of them.
my %text = map { $_ => 1 } qw(chat.sse messages.sse responses.sse);


sub run {
    my ($dir) = @_;
    my $routers = Bench::Routers->new(dir => $dir);

    write_answers("$dir/answers");

    say_table('Instructions for each byte of an answer of 64 KB',
        ['', 'off', 'auto', 'reader', 'goal', '', 'event by event', 'goal',
         ''], map { per_byte($routers, @$_) } answers());

    throughput($routers);
}


# What a location has for either value.
sub location {
    my ($usage) = @_;
    return "agent_canary_usage $usage; proxy_buffering off;";
}


# -- instructions -------------------------------------------------------------

sub per_byte {
    my ($routers, $name, $title, $type, $bytes) = @_;
    my $length = length $bytes;
    my %count;

    for my $usage (qw(off auto)) {
        my ($count) = instructions(routers => $routers,
            router => 'agent_canary', name => "$usage-$name",
            options => { location => location($usage) },
            warm_up => WARM_UP, requests => REQUESTS,
            path => "/answers/$name");

        $count{$usage} = $count / $length;
    }

    my $reader = $count{auto} - $count{off};
    my @cells = ($title, map { sprintf '%.2f', $_ } @count{qw(off auto)},
                 $reader);

    push @cells, goal($text{$name}, $reader);
    return \@cells if $type !~ /event-stream/;

    my $alone = event_by_event($routers->{dir}, $name, $type, $length);
    return [@cells, sprintf('%.2f', $alone), goal($name eq 'chat.sse', $alone)];
}


sub goal {
    my ($has, $count) = @_;
    return $has ? ('<= ' . PER_BYTE, at_most($count, PER_BYTE)) : ('', '');
}


# The difference between many readings and one.
sub event_by_event {
    my ($dir, $name, $type, $length) = @_;
    my @total;

    for my $times (1, 1 + READINGS) {
        my $out = "$dir/$name.$times";
        my ($text, $status) = command_output('valgrind', '--tool=callgrind',
            "--callgrind-out-file=$out", program('usage', 'canary/*'),
            "$dir/answers/$name", $type, 0, $times);

        die "callgrind failed:\n$text" if $status;
        push @total, slurp($out) =~ /^summary: (\d+)/m;
    }

    return ($total[1] - $total[0]) / READINGS / $length;
}


# -- throughput ---------------------------------------------------------------

sub throughput {
    my ($routers) = @_;
    my ($name, undef, $type) = @{ (answers())[0] };
    my $file = "$routers->{dir}/answers/$name";
    my $port = free_port();

    my @file = compare($routers, "/answers/$name", FILES);

    my $agent = spawn('agent', log => "$routers->{dir}/agent.log",
        command => [on_cpu(0), program('agent'), $port, $file, $type,
                    INTERVAL]);
    wait_until(10, sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                               PeerPort => $port) })
        or die "the agent did not start\n";

    $routers->{port} = { baseline => $port, candidate => $port };
    my @stream = compare($routers, '/', STREAMS);
    $agent->stop;

    my $bytes = -s $file;

    say_table('Throughput: answers of 64 KB for each second of CPU time, '
              . 'median of ' . ROUNDS . ' rounds',
        ['', 'off', 'auto', 'ratio', 'quartiles', 'goal', ''],
        throughput_line('streams, an event each millisecond', 1, @stream),
        throughput_line('files, 4 KB a read', 0, @file));
}


# The CPU times of an answer with "off" and with "auto", round by round.
sub compare {
    my ($routers, $path, $requests) = @_;
    my %router = map { $_ => start($routers, $_, $path) } qw(off auto);
    my %times;

    # who comes first in a round takes turns, too
    for my $round (1 .. ROUNDS) {
        for my $usage ($round % 2 ? qw(off auto) : qw(auto off)) {
            push @{ $times{$usage} },
                measure($router{$usage}, $path, $requests);
        }
    }

    $_->stop for values %router;
    return @times{qw(off auto)};
}


sub throughput_line {
    my ($title, $has_goal, $off, $auto) = @_;
    my @ratio = map { $off->[$_] / $auto->[$_] } 0 .. $#$off;
    my $middle = median(@ratio);

    return [$title, (map { sprintf '%.0f', 1 / median(@$_) } $off, $auto),
            sprintf('%.3f', $middle),
            sprintf('%.3f-%.3f', map { percentile($_, @ratio) } 25, 75),
            $has_goal ? ('>= ' . THROUGHPUT, at_least($middle, THROUGHPUT))
                      : ()];
}


sub start {
    my ($routers, $usage, $path) = @_;
    my $router = $routers->agent_canary(name => "usage-$usage",
        location => location($usage), prefix => [on_cpu(1)])->start;

    $router->wait_flag('support', state => 'ok')
        or die "the flag did not arrive:\n" . $router->log_text;
    measure($router, $path, CONNECTIONS);
    return $router;
}


# Seconds of the router's process for one answer.
sub measure {
    my ($router, $path, $requests) = @_;
    my $pid = $router->server_pid;
    my $before = cpu_time($pid);

    load($router->port, CONNECTIONS, $requests, $path);

    return (cpu_time($pid) - $before) / $requests;
}


1;

package Bench::Usage;

# What it costs to read tokens from answers while they pass.  Some nginx that
# differ in "agent_canary_usage" only: instructions by callgrind, and CPU time
# of a worker, in turns, so that whatever slows the machine slows all.  Answers
# come as files, 4 KB a read, or as from a model, each event by itself
# (bench/usage.c, bench/stream.c).
#
# CPU time is compared in trios: "auto" with two that have "off", which show by
# how much two differ that are the same.  A trio is started anew several times,
# for what is up to the luck of a process, such as where its memory lies.

use strict;
use warnings;

use List::Util qw(max min);

use Bench qw(at_least at_most median on_cpu program say_table);
use Bench::Answers qw(answers write_answers);
use Bench::Callgrind qw(instructions);
use Bench::Routers;
use Canary::Util qw(command_output free_port slurp);

use constant {
    WARM_UP     => 20,                      # requests, under callgrind
    REQUESTS    => 100,
    READINGS    => 20,                      # of an answer, event by event
    TRIOS       => 6,
    TURNS       => 12,
    STREAMS     => 64,                      # of a turn
    FILES       => 320,
    CONNECTIONS => 32,
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

    say_table('Instructions of nginx for each byte, event by event',
        ['', 'off', 'auto', 'ratio'],
        map { streamed($routers, @$_) } grep { $text{ $_->[0] } } answers());

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


# All that a worker executes for a stream; the kernel's work comes on top, and
# is the same for both.
sub streamed {
    my ($routers, $name, $title, undef, $bytes) = @_;
    my $port = free_port();
    my %count;

    for my $usage (qw(off auto)) {
        local $routers->{port} = { baseline => $port, candidate => $port };

        ($count{$usage}) = instructions(routers => $routers,
            router => 'agent_canary', name => "$usage-events-$name",
            options => { location => location($usage) },
            warm_up => WARM_UP, requests => REQUESTS, load => sub {
                my ($nginx, $requests) = @_;
                stream($routers->{dir}, $name, 0, 1, $requests - 1, 0, $port,
                       $nginx);
            });
    }

    return [$title, (map { sprintf '%.2f', $count{$_} / length $bytes }
                     qw(off auto)),
            sprintf('%.3f', $count{off} / $count{auto})];
}


# Has the answer of that name streamed through the proxies: see bench/stream.c.
sub stream {
    my ($dir, $name, $piece, $connections, $answers, $turns, $port, @proxies)
        = @_;
    my ($type) = map { $_->[2] } grep { $_->[0] eq $name } answers();

    # Client and agent share the CPU with the worker: while they run its work
    # piles up, and each time that it runs there is an event on every
    # connection.
    my ($text, $status) = command_output(on_cpu(1), program('stream'),
        "$dir/answers/$name", $type, $piece, $connections, $answers, $turns,
        $port, map { $_->port . ':' . $_->server_pid } @proxies);

    die "the streams failed:\n$text" if $status;
    return $text;
}


# -- throughput ---------------------------------------------------------------

# Of streams, event by event, and of files, which the agent sends at once.
sub throughput {
    my ($routers) = @_;
    my @stream = compare($routers, 0, STREAMS);
    my @file = compare($routers, Bench::Answers::BYTES, FILES);

    say_table('Throughput: answers of 64 KB for each second of CPU time',
        ['', 'off', 'auto', 'ratio', TRIOS . ' trios', 'goal', '', 'off/off',
         TRIOS . ' trios'],
        throughput_line('streams, event by event', 1, @stream),
        throughput_line('files, 4 KB a read', 0, @file));
}


# Of each trio: what "off" and "auto" take, the ratio of "off" to "auto", and
# of one "off" to the other, each the median of all turns.
sub compare {
    my ($routers, $piece, $answers) = @_;
    my @trios;

    for my $number (1 .. TRIOS) {
        my @turns = measure($routers, "$piece-$number", $piece, $answers);

        push @trios, {
            off   => median(map { ($_->[0] + $_->[2]) / 2 } @turns),
            auto  => median(map { $_->[1] } @turns),
            ratio => median(map { ($_->[0] + $_->[2]) / 2 / $_->[1] } @turns),
            same  => median(map { $_->[0] / $_->[2] } @turns),
        };
    }

    return @trios;
}


sub throughput_line {
    my ($title, $has_goal, @trios) = @_;
    my %of = map { my $key = $_; $key => [map { $_->{$key} } @trios] }
        qw(off auto ratio same);
    my $ratio = median(@{ $of{ratio} });

    return [$title,
            (map { sprintf '%.0f', 1e6 / median(@{ $of{$_} }) } qw(off auto)),
            sprintf('%.3f', $ratio), range(@{ $of{ratio} }),
            $has_goal ? ('>= ' . THROUGHPUT, at_least($ratio, THROUGHPUT))
                      : ('', ''),
            sprintf('%.3f', median(@{ $of{same} })), range(@{ $of{same} })];
}


sub range {
    my (@values) = @_;
    return sprintf '%.3f-%.3f', min(@values), max(@values);
}


# The microseconds of an answer in each turn of a new trio.
sub measure {
    my ($routers, $name, $piece, $answers) = @_;
    my $port = free_port();
    my @trio = map { start($routers, "$name-$_", $port) } qw(off auto also-off);
    my $text = stream($routers->{dir}, 'chat.sse', $piece, CONNECTIONS,
                      $answers, TURNS, $port, @trio);

    $_->stop for @trio;
    return map { [split] } split /\n/, $text;
}


sub start {
    my ($routers, $name, $port) = @_;
    my $usage = $name =~ /off$/ ? 'off' : 'auto';
    local $routers->{port} = { baseline => $port, candidate => $port };

    my $router = $routers->agent_canary(name => $name,
        location => location($usage), prefix => [on_cpu(1)])->start;

    $router->wait_flag('support', state => 'ok')
        or die "the flag did not arrive:\n" . $router->log_text;
    return $router;
}


1;

package Bench::Callgrind;

# What one process of nginx executes for a fixed number of requests of one
# client, counted by callgrind: the same in every run, and blind to whatever
# else the machine does.  Not counted are
#   - the kernel: it does the same for all
#   - malloc() and free(): all rows call them alike, but what a call costs is
#     up to how the heap happens to be cut, and differs by hundreds
#   - what comes with time and not with requests: the poll of Redis is put off
#
# After some requests the counter is set to zero, after a fixed number it is
# read: no start-up, no parsing of a configuration or of a flag.

use strict;
use warnings;

use Exporter qw(import);

use Bench qw(load);
use Canary::Util qw(command_output slurp wait_until);

our @EXPORT_OK = qw(instructions);


# instructions(routers => Bench::Routers, router => name of its method,
#              options => {...} of that, name => ..., warm_up => requests,
#              requests => ..., path => ... or
#              load => sub { my ($nginx, $requests) = @_; ... })
#
# Returns the instructions of a request, and what the load returns: with a path
# the share of requests that the candidate answered.
sub instructions {
    my (%how) = @_;
    my ($routers, $router) = @how{qw(routers router)};
    my $out = "$routers->{dir}/$how{name}.callgrind";
    my %options = %{ $how{options} // {} };
    my @path = $how{path} // ();
    my $load = $how{load}
        // sub { return load($_[0]->port, 1, $_[1], @path) };

    $options{redis} = 'poll=1h' if $router eq 'agent_canary';

    my $nginx = $routers->$router(%options, name => $how{name}, workers => 0,
        prefix => ['valgrind', '--tool=callgrind',
                   "--callgrind-out-file=$out"])->start;
    my $pid = $nginx->server_pid;

    wait_flags($nginx) if $router eq 'agent_canary';
    $load->($nginx, $how{warm_up});
    control('-z', $pid);
    my $share = $load->($nginx, $how{requests});
    control('-d', $pid);

    $nginx->stop;

    my ($total) = (slurp("$out.1") // '') =~ /^summary: (\d+)/m
        or die "callgrind left no counts in $out.1\n";

    return (($total - heap("$out.1")) / $how{requests}, $share);
}


# The instructions of malloc() and free().
sub heap {
    my ($out) = @_;
    my ($text, $status) = command_output('callgrind_annotate',
        '--inclusive=no', '--auto=no', '--threshold=100', $out);
    my $sum = 0;

    die "callgrind_annotate failed:\n$text" if $status;

    for (split /\n/, $text) {
        my ($count, $name) = /^ *([\d,]+) \([ \d.]+%\)  (\S*:.*)/ or next;
        $sum += $count =~ tr/,//dr if $name =~ qr{malloc/(?:malloc|arena)\.c:};
    }

    return $sum;
}


sub wait_flags {
    my ($nginx) = @_;

    wait_until(60, sub {
        my $status = $nginx->status;
        $status && !grep { $_->{state} ne 'ok' } @{ $status->{flags} };
    }) or die "the flags did not arrive:\n" . $nginx->log_text;
}


sub control {
    my ($command, $pid) = @_;
    my ($text, $status) = command_output('callgrind_control', $command, $pid);

    die "callgrind_control failed: $text" if $status || $text !~ /OK/;
}


1;

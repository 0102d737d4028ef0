package Bench::Verdict;

# How soon a breach is seen and how often there is none, by simulation with the
# code that is shipped, against the information limit and beside what is
# commonly used, on the same requests: see bench/verdict/.

use strict;
use warnings;

use Bench qw(say_table verdict);
use Canary::Util qw(command_output root);

# The columns of the other methods begin with this one.
use constant OTHERS => 'threshold';


sub run {
    my ($dir) = @_;
    simulate();
}


# Runs the simulation with these options and shows its tables, each as soon as
# it is there.
sub simulate {
    my (@options) = @_;
    my $build = root() . '/build/verdict';
    my ($text, $status) = command_output('make', '-s', '-C',
        root() . '/bench/verdict', "BUILD=$build", "$build/sim");
    my ($title, @rows);

    die "cannot build the simulation:\n$text" if $status;

    open my $in, '-|', "$build/sim", @options or die "cannot simulate: $!\n";

    while (<$in>) {
        chomp;

        if (/^\| (.*) \|$/) {
            push @rows, [map { s/^\s+|\s+$//gr } split /\|/, $1];
        } elsif (@rows && !/\S/) {
            show($title, splice @rows);
        } elsif (/^\w/) {
            $title = $_;
        }
    }

    show($title, @rows) if @rows;

    # 1: a goal is missed, which was counted
    close $in;
    die "the simulation failed\n" if $? >> 8 > 1 || $? & 127;
}


# A wide table becomes two: the other methods have only times, or shares.
sub show {
    my ($title, $heads, @rows) = @_;
    my ($others) = grep { $heads->[$_] eq OTHERS } 0 .. $#$heads;

    verdict(0) for grep { $_ eq 'MISSED' } map { @$_ } @rows;

    if (!$others || $others > $#{ $rows[0] }) {
        say_table($title, $heads, @rows);
        return;
    }

    my ($own) = grep { $heads->[$_] =~ /^(?:time|verdict)$/ } 0 .. $#$heads;
    my @beside = (0, 1, $own, $others .. $#$heads);

    say_table($title, map { [@$_[0 .. $others - 1]] } $heads, @rows);
    say_table("$title: beside others", [@$heads[0, 1], 'agent-canaryd',
                                        @$heads[$others .. $#$heads]],
              map { [@$_[@beside]] } @rows);
}


1;

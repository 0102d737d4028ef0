package Canary::Ledger;

# What a test expects in the tallies of a flag, kept from one request to the
# next: a request that is counted twice, late, or on the wrong arm shows in
# the next check at the latest.

use strict;
use warnings;

use List::Util qw(sum0);
use Test::More;

use Canary::Util qw(wait_until);

# Of every request that reached its arm, unless the test says otherwise.
my %usual = (requests => 1, cost_unpriced => 1, first_byte_ms => 1,
             latency_ms => 1);


sub new {
    my ($class, $nginx, $flag) = @_;
    return bless { nginx => $nginx, flag => $flag,
                   arms => { baseline => {}, candidate => {} } }, $class;
}


# The tallies as they are: { arm => { field => number } } without zeroes,
# histograms as the number of their observations.
sub read_arms {
    my ($self) = @_;
    my $arms = $self->{nginx}->flag($self->{flag})->{arms} // {};
    my %read = (baseline => {}, candidate => {});

    for my $arm (keys %$arms) {
        for my $field (keys %{ $arms->{$arm} }) {
            next if $field =~ /^(?:cost_cap|by_user)/;
            my $value = sum0(split /,/, $arms->{$arm}{$field});
            $read{$arm}{$field} = 0 + sprintf('%.9g', $value) if $value;
        }
    }

    return \%read;
}


# expect(arm, field => how much more, ...), over what is usual
sub expect {
    my ($self, $arm, %more) = @_;
    my %all = (%usual, %more);
    my $sums = $self->{arms}{$arm};

    $sums->{$_} = ($sums->{$_} // 0) + $all{$_} for keys %all;

    for (keys %$sums) {
        $sums->{$_} = 0 + sprintf '%.9g', $sums->{$_};
        delete $sums->{$_} if !$sums->{$_};
    }
}


# One test: the log phase comes after the answer.
sub check {
    my ($self, $what) = @_;
    my $got;

    wait_until(5, sub {
        $got = $self->read_arms;
        same($got, $self->{arms});
    });
    my $fine = is_deeply($got, $self->{arms}, $what);

    # one mistake is told once
    $self->{arms} = $got if !$fine;
    return $fine;
}


sub same {
    my ($a, $b) = @_;

    for my $arm (keys %$a) {
        my %fields = (%{ $a->{$arm} }, %{ $b->{$arm} });
        return 0 if grep { ($a->{$arm}{$_} // 0) != ($b->{$arm}{$_} // 0) }
            keys %fields;
    }

    return 1;
}


1;

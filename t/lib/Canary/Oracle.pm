package Canary::Oracle;

# What the module has to decide, computed by other means: see t/util/xxh3.c.

use strict;
use warnings;

use Exporter qw(import);
use IPC::Open2;

use Canary::Util qw(helper);

our @EXPORT_OK = qw(arms bucket buckets users xxh3);


sub users {
    my ($n) = @_;
    return map { sprintf 'user-%05d', $_ } 1 .. $n;
}


sub hashes {
    my ($salt, @keys) = @_;
    my $pid = open2(my $out, my $in, helper('xxh3.c', 'xxh3', '-lxxhash'),
                    (defined $salt ? $salt : ()));

    # a second process writes, so that full pipes cannot stop both ends
    my $writer = fork;
    die "fork: $!" if !defined $writer;

    if (!$writer) {
        print {$in} map { unpack('H*', $_) . "\n" } @keys;
        close $in;
        require POSIX;
        POSIX::_exit(0);
    }

    close $in;
    chomp(my @hashes = <$out>);
    waitpid $_, 0 for $writer, $pid;

    die "the oracle answered " . @hashes . " of " . @keys if @hashes != @keys;
    return @hashes;
}


sub xxh3 { return (hashes(undef, $_[0]))[0] }


# floor(hash * 100000 / 2^64) in two halves of 32 bits
sub to_bucket {
    my ($hash) = @_;
    my ($high, $low) = ($hash >> 32, $hash & 0xffff_ffff);
    return ($high * 100_000 + (($low * 100_000) >> 32)) >> 32;
}


sub buckets {
    my ($salt, @keys) = @_;
    return map { to_bucket($_) } hashes($salt, @keys);
}


sub bucket { return (buckets(@_))[0] }


# arms(salt, percent, keys): key => arm
sub arms {
    my ($salt, $percent, @keys) = @_;
    my @buckets = buckets($salt, @keys);
    my %arm;

    for my $i (0 .. $#keys) {
        $arm{ $keys[$i] } = $buckets[$i] < $percent * 1000 ? 'candidate'
                                                           : 'baseline';
    }

    return \%arm;
}


1;

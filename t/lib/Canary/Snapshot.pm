package Canary::Snapshot;

# Writes state files from the description in canary/snapshot.h, known.h and
# record.h: nginx starts with flags known and no Redis to wait for, and tests
# can damage what only a checksum protects.

use strict;
use warnings;

use Exporter qw(import);

use JSON::PP qw(decode_json);

use Canary::Oracle qw(xxh3);
use Canary::Util qw(spew);

our @EXPORT_OK = qw(flag_entry seal snapshot write_snapshot);

use constant SECRET => 's' x 32;

my %state = (unknown => 0, ok => 1, deleted => 2, store_empty => 3,
             invalid => 4, stale_epoch => 5, no_memory => 6);


# { field => value, ... } as one run of bytes
sub record {
    my ($fields) = @_;
    return join '', map {
        pack('VV', length $_, length $fields->{$_}) . $_ . $fields->{$_}
    } sort keys %$fields;
}


# flag_entry(name, { percent => 5, ... }, state => ..., trip => JSON)
sub flag_entry {
    my ($name, $fields, %more) = @_;
    my $record = record($fields);
    my $trip = $more{trip} // '';
    my $latch = $trip ? decode_json($trip) : {};
    my $packed = pack('VQ<VQ<VVV', $state{ $more{state} // 'ok' },
                      $more{epoch} // $fields->{epoch} // 0,
                      $trip ? 1 : 0, $latch->{epoch} // 0,
                      1000 * ($latch->{percent} // 0),
                      length $record, length $trip) . $record . $trip;

    return pack('VV', length $name, length $packed) . $name . $packed;
}


# The header over any payload.
sub seal {
    my ($payload, $entries) = @_;
    return "acanary\n" . pack('VVQ<Q<', 1, $entries, length $payload,
                              xxh3($payload)) . $payload;
}


sub snapshot {
    my (@entries) = @_;
    return seal(SECRET . join('', @entries), scalar @entries);
}


sub write_snapshot {
    my ($path, @entries) = @_;
    spew($path, snapshot(@entries));
    chmod 0600, $path;
}


1;

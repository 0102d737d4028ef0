package Canary::FakeNginx;

# An nginx that is made up: a status with the tallies of one flag or more, as
# bad as a test wants them, a POST that takes trips, and every way not to
# answer.  Counters grow by what add() adds, and by rates.

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use JSON::PP qw(decode_json encode_json);
use Time::HiRes qw(time);

use Canary::HTTP ();
use Canary::Process qw(spawn);
use Canary::Util qw(free_port wait_until);

use constant OK => "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";

my @fields = qw(requests errors_status errors_connect errors_timeout
    errors_deadline errors_stream errors_in_band denied escalated by_user
    client_aborts keyless overrides cost_known cost_unpriced cost_usd
    cost_capped_usd cost_capped_usd2 cost_cap_usd tokens_input
    tokens_output first_byte_ms latency_ms);


# start(name => ..., settings): boot, epoch, percent, flags (their number, the
# first is "support"), guardrails; fresh, 0 when it is cut off from Redis; b and
# c, requests a second of the arms, err, the part of c that fails; status and
# trip, how the two are answered:
#
#     ok        as nginx does
#     hang      never, until it is something else: then from the next one on
#     trickle   a byte a second
#     cut       half of it, and then the connection ends
#     junk      JSON that breaks off
#     html      a page with status 200
#     wrong     JSON of something else
#     big       10 MB of JSON without end
#     huge      70 MB
#     500, 405  that status
sub start {
    my ($class, %how) = @_;
    my $self = bless { name => $how{name} // 'fake-nginx',
                       port => $how{port} // free_port() }, $class;
    delete @how{qw(name port)};

    $self->{process} = spawn($self->{name}, code => sub {
        serve($self->{port}, %how);
    });
    wait_until(10, sub { eval { $self->state } })
        or die "$self->{name} did not start\n";
    return $self;
}


sub address { return "127.0.0.1:$_[0]{port}" }
sub process { return $_[0]{process} }


# set(name => value, ...): settings, from now on
sub set {
    my ($self, %to) = @_;
    return $self->ask('set', %to);
}


# add(b => 100, c => 20, fail => 20, cost => 5): requests of the arms, those of
# the candidate that fail, and one of it that costs so much
sub add {
    my ($self, %more) = @_;
    return $self->ask('add', %more);
}


# No trip was ever taken.
sub forget { return $_[0]->ask('forget') }


# { trips => [{ when, epoch, ... }], n => counters, asked => readings,
#   hanging => requests that are not answered }
sub state { return $_[0]->ask('set') }

sub trips { return @{ $_[0]->state->{trips} } }


sub ask {
    my ($self, $what, %pairs) = @_;
    my $answer = Canary::HTTP::request($self->address, 'POST', "/ctl/$what",
                                       encode_json(\%pairs));
    return decode_json($answer->{body});
}


# Ends it; another one at the same port is another nginx.
sub stop { return $_[0]{process}->stop('TERM', 5) }


# -- the process --------------------------------------------------------------

sub serve {
    my ($port, %how) = @_;
    srand;
    my %s = (boot => sprintf('%08x%08x', rand 2**32, rand 2**32), epoch => 1,
             percent => 25, enabled => 1, flags => 1, fresh => 1, b => 0,
             c => 0, err => 0, status => 'ok', trip => 'ok', guardrails => undef,
             %how);
    my $server = { s => \%s, n => { b => 0, c => 0, e => 0 }, trips => [],
                   asked => 0, grown => time };
    my $listen = IO::Socket::INET->new(Listen => 64, ReuseAddr => 1,
        LocalAddr => '127.0.0.1', LocalPort => $port) or die "listen: $!";
    my $select = IO::Select->new($listen);
    my %open;                               # fileno => connection

    $SIG{PIPE} = 'IGNORE';

    while (1) {
        my $busy = grep { length $_->{out} && !$_->{slow} } values %open;

        for my $fh ($select->can_read($busy ? 0.001 : 0.02)) {
            if ($fh == $listen) {
                my $socket = $listen->accept or next;
                $socket->blocking(0);
                $select->add($socket);
                $open{ fileno $socket } = { socket => $socket, in => '',
                                            out => '' };
                next;
            }

            my $c = $open{ fileno $fh };
            my $got = sysread $fh, $c->{in}, 65_536, length $c->{in};
            next if !defined $got && $!{EAGAIN};
            $c->{ended} = 1 if !$got;
        }

        grow($server);

        for my $c (values %open) {
            take($server, $c);
            give($c);

            if ($c->{ended} || $c->{last} && !length $c->{out}) {
                $select->remove($c->{socket});
                delete $open{ fileno $c->{socket} };
                close $c->{socket};
            }
        }

        $server->{hanging} = grep { $_->{hangs} } values %open;
    }
}


# A trip in force leaves nothing to the candidate.
sub grow {
    my ($server) = @_;
    my ($s, $n, $trip) = @$server{qw(s n trip)};
    my $seconds = time - $server->{grown};

    $server->{grown} += $seconds;
    $n->{b} += $s->{b} * $seconds;

    return if $trip && $trip->{epoch} >= $s->{epoch};
    $server->{part} += $s->{c} * $seconds;
    my $whole = int $server->{part};
    $server->{part} -= $whole;
    $n->{c} += $whole;
    $n->{e} += $whole * $s->{err};
}


sub take {
    my ($server, $c) = @_;
    my ($head, $method, $path) =
        $c->{in} =~ m{^((\w+) (\S+).*?\r\n\r\n)}s or return;
    my ($length) = $head =~ /Content-Length: (\d+)/i;
    return if length $c->{in} < length($head) + ($length // 0);

    my $body = substr $c->{in}, length $head, $length // 0;
    $c->{in} = '';
    delete @$c{qw(slow hangs)};

    if ($path =~ m{^/ctl/(\w+)}) {
        control($server, $1, decode_json($body));
        $c->{out} = json(encode_json({
            map { $_ => $server->{$_} } qw(trips n asked hanging) }));
        return;
    }

    my $trip = $method eq 'POST';
    my $how = $server->{s}{ $trip ? 'trip' : 'status' };
    $server->{asked}++ if !$trip;

    # which is how the sidecar tries whether trips are taken at all
    $how = 400 if $trip && $how eq 'ok' && $body eq '{}';

    my $answer = $trip && $how eq 'ok' ? trip($server, $body)
        : status($server);
    answer($c, $how, $answer);
}


sub control {
    my ($server, $what, $pairs) = @_;

    if ($what eq 'set') {
        $server->{s}{$_} = $pairs->{$_} for keys %$pairs;
        return;
    }

    if ($what eq 'forget') {
        $server->{trips} = [];
        delete $server->{trip};
        return;
    }

    my $n = $server->{n};
    $n->{b} += $pairs->{b} // 0;
    $n->{c} += ($pairs->{c} // 0) + ($pairs->{fail} // 0);
    $n->{e} += $pairs->{fail} // 0;

    if ($pairs->{cost}) {
        $n->{$_}++ for qw(c known);
        $n->{usd} += $pairs->{cost};
    }
}


sub trip {
    my ($server, $body) = @_;
    my $trip = eval { decode_json($body) } // {};

    push @{ $server->{trips} }, { %$trip, when => time };
    $server->{trip} = { %$trip, raw => $body };
    return '{"applied":true}';
}


sub json {
    my ($body) = @_;
    return OK . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
}


sub answer {
    my ($c, $how, $body) = @_;

    $c->{out} = $how eq 'junk'  ? json('{"boot_id":"x","flags":[')
              : $how eq 'wrong' ? json('[{"status":"up"},17]')
              : $how eq 'html'  ? "HTTP/1.1 200 OK\r\nContent-Type: text/html"
                                  . "\r\nContent-Length: 20\r\n\r\n"
                                  . '<html>welcome</html>'
              : $how eq 'big'   ? json('{"flags":[' . '1,' x 5_000_000)
              : $how eq 'huge'  ? json('{"flags":[' . '1,' x 35_000_000)
              : $how =~ /^\d/   ? "HTTP/1.1 $how no\r\nContent-Length: 2"
                                  . "\r\n\r\n{}"
              : json($body);

    if ($how eq 'cut') {
        substr $c->{out}, length($c->{out}) / 2, length $c->{out}, '';
        $c->{last} = 1;
    } elsif ($how eq 'hang') {
        $c->{out} = '';
        $c->{hangs} = 1;
    } elsif ($how eq 'trickle') {
        $c->{slow} = time;
    }
}


sub give {
    my ($c) = @_;

    return if !length $c->{out} || $c->{slow} && time < $c->{slow};
    $c->{slow}++ if $c->{slow};

    my $n = syswrite $c->{socket}, $c->{out}, $c->{slow} ? 1 : 1_048_576;
    substr $c->{out}, 0, $n // 0, '';
}


sub arm {
    my ($requests, $errors, $known, $usd) = @_;
    my %v = map { $_ => 0 } @fields;
    $v{requests} = int $requests;
    $v{errors_status} = int $errors;
    $v{cost_known} = $known // 0;
    $v{cost_usd} = $usd // 0;
    $v{latency_ms} = "\"0,0,0,$v{requests}\"";
    $v{first_byte_ms} = '""';
    $v{by_user} = "\"$v{errors_status},$v{errors_status}\"";
    return '{"in_flight":0,' . join(',', map { "\"$_\":$v{$_}" } @fields)
        . '}';
}


sub status {
    my ($server) = @_;
    my ($s, $n, $trip) = @$server{qw(s n trip)};
    my $tripped = $trip && $trip->{epoch} >= $s->{epoch} ? 'true' : 'false';
    my $record = $trip
        ? "{\"epoch\":$trip->{epoch},\"percent\":$trip->{percent},"
          . "\"record\":$trip->{raw}}" : 'null';
    my $guardrails = $s->{guardrails} // 'null';
    my ($enabled, $fresh) = map { $_ ? 'true' : 'false' }
        @$s{qw(enabled fresh)};
    my $baseline = arm($n->{b}, 0);
    my $candidate = arm(@$n{qw(c e known usd)});

    my @flags = map {
        my $name = $_ == 1 ? 'support' : "flag$_";
        "{\"name\":\"$name\",\"state\":\"ok\",\"percent\":$s->{percent},"
        . "\"enabled\":$enabled,\"epoch\":$s->{epoch},\"tripped\":$tripped,"
        . "\"trip\":$record,\"stages\":[1,5,25,50,100],"
        . '"bundle":{"baseline":"v41","candidate":"v42"},'
        . "\"guardrails\":$guardrails,"
        . "\"arms\":{\"baseline\":$baseline,\"candidate\":$candidate}}"
    } 1 .. $s->{flags};

    return "{\"version\":\"0.1.0\",\"boot_id\":\"$s->{boot}\","
        . '"clock_ms":' . int(time * 1000)
        . ",\"redis\":{\"state\":\"ready\",\"fresh\":$fresh},\"flags\":["
        . join(',', @flags) . ']}';
}


1;

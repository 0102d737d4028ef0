package Canary::Statuses;

# Many nginx that are made up: one process that answers agent-canaryd as each
# of them would, with counters that a test moves, and keeps the trips it is
# posted.  A fleet of twenty costs no more than one of them.  None of them has
# a Redis, so that all they know of trips is what their sidecars post.

use strict;
use warnings;

use IO::Handle;
use IO::Select;
use IO::Socket::UNIX;
use JSON::PP qw(decode_json encode_json);
use Socket qw(:DEFAULT);

use Canary::HTTP ();
use Canary::Process qw(spawn);
use Canary::Util qw(slow);

my @fields = qw(requests errors_status errors_connect errors_timeout
                errors_deadline errors_stream errors_in_band denied escalated
                client_aborts keyless overrides cost_known cost_unpriced
                cost_usd cost_capped_usd cost_capped_usd2 cost_cap_usd
                tokens_input tokens_output);


# start(dir => ..., n => how many, flag => name, epoch => ..., percent => ...,
#       guardrails => JSON)
sub start {
    my ($class, %how) = @_;
    my @path = map { "$how{dir}/status-$_.sock" } 1 .. $how{n};
    my @listener = map {
        IO::Socket::UNIX->new(Local => $_, Listen => 16)
            or die "cannot listen on $_: $!"
    } @path;

    socketpair my $mine, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC
        or die "socketpair: $!";
    $_->autoflush(1) for $mine, $theirs;

    my $process = spawn('statuses', log => "$how{dir}/statuses.log",
        code => sub {
            close $mine;
            run({ %how, control => $theirs, connection => {},
                  node => [map { { listener => $_, boot => boot_id(),
                                   arm => {}, trip => '', trips => 0,
                                   scrapes => 0 } } @listener] });
        });
    close $_ for $theirs, @listener;

    return bless { path => \@path, process => $process, control => $mine },
        $class;
}


sub process { return $_[0]{process} }
sub stop { return $_[0]{process}->stop }


# The nth one, the first is 0, as Canary::Sidecar takes an nginx.
sub nginx {
    my ($self, $n) = @_;
    return bless { address => "unix:$self->{path}[$n]" },
        'Canary::Statuses::One';
}


# add(n, arm, field => how much more, ...)
sub add {
    my ($self, $n, $arm, %more) = @_;
    $self->ask({ node => $n, arm => $arm, add => \%more });
}


# set(epoch => ..., percent => ...): the flag, at all of them
sub set {
    my ($self, %flag) = @_;
    $self->ask({ set => \%flag });
}


# What is known of each: { trips, trip, scrapes }
sub nodes {
    my ($self) = @_;
    return @{ $self->ask({}) };
}


sub ask {
    my ($self, $what) = @_;
    my $line = '';
    syswrite $self->{control}, encode_json($what) . "\n";

    while ($line !~ /\n/) {
        IO::Select->new($self->{control})->can_read(10 * slow())
            && sysread $self->{control}, $line, 65_536, length $line
            or die "the statuses do not answer\n";
    }

    return decode_json($line);
}


# -- the process --------------------------------------------------------------

sub boot_id { return join '', map { sprintf '%08x', rand 2 ** 32 } 1 .. 4 }


sub run {
    my ($s) = @_;
    $SIG{PIPE} = 'IGNORE';
    my %listening = map { $_->{listener} => $_ } @{ $s->{node} };
    my $select = IO::Select->new($s->{control},
                                 map { $_->{listener} } @{ $s->{node} });

    while (1) {
        for my $socket ($select->can_read) {
            if ($socket == $s->{control}) {
                take_control($s) or return;
            } elsif (my $node = $listening{$socket}) {
                my $client = $socket->accept or next;
                $s->{connection}{$client} = { node => $node, in => '' };
                $select->add($client);
            } elsif (!take_bytes($s, $socket)) {
                $select->remove($socket);
                delete $s->{connection}{$socket};
                close $socket;
            }
        }
    }
}


sub take_control {
    my ($s) = @_;
    my $line = readline $s->{control} // return;
    my $what = decode_json($line);

    if ($what->{add}) {
        my $arm = $s->{node}[ $what->{node} ]{arm}{ $what->{arm} } //= {};
        $arm->{$_} += $what->{add}{$_} for keys %{ $what->{add} };
    }

    $s->{$_} = $what->{set}{$_} for keys %{ $what->{set} // {} };

    print { $s->{control} } encode_json([map { {
        trips => $_->{trips}, trip => $_->{trip}, scrapes => $_->{scrapes}
    } } @{ $s->{node} }]), "\n";
    return 1;
}


sub take_bytes {
    my ($s, $socket) = @_;
    my $c = $s->{connection}{$socket};
    my $n = sysread $socket, $c->{in}, 65_536, length $c->{in};

    return if !$n;

    while ($c->{in} =~ /^(\w+) (\S+) .*?\r\n\r\n/s) {
        my ($method, $path, $head) = ($1, $2, $&);
        my ($length) = $head =~ /^Content-Length: (\d+)/mi;
        my $end = length($head) + ($length // 0);
        last if length $c->{in} < $end;

        my $body = substr $c->{in}, length($head), $length // 0;
        substr $c->{in}, 0, $end, '';

        # by this one a sidecar tries whether trips are taken at all
        my $none = $path =~ m{/trip$} && $body eq '{}';
        my $answer = $none ? '{}'
            : $path =~ m{/trip$} ? take_trip($c->{node}, $body)
            : status($s, $c->{node});
        my $status = $none ? '400 no' : '200 OK';
        syswrite $socket, "HTTP/1.1 $status\r\nContent-Length: "
            . length($answer) . "\r\n\r\n$answer";
    }

    return 1;
}


sub take_trip {
    my ($node, $body) = @_;
    $node->{trip} = $body;
    $node->{trips}++;
    return '{"applied":true}';
}


sub status {
    my ($s, $node) = @_;
    my $trip = $node->{trip} ? decode_json($node->{trip}) : undef;
    my $tripped = $trip && $trip->{epoch} >= $s->{epoch} ? 'true' : 'false';
    my $latch = $trip ? "{\"epoch\":$trip->{epoch},\"percent\":"
                        . "$trip->{percent},\"record\":$node->{trip}}"
                      : 'null';
    my $guardrails = $s->{guardrails} // 'null';
    $node->{scrapes}++;

    return "{\"version\":\"0.1.0\",\"boot_id\":\"$node->{boot}\","
        . "\"clock_ms\":$node->{scrapes},"
        . '"redis":{"state":"failed","fresh":false},"flags":[{"name":'
        . "\"$s->{flag}\",\"state\":\"stale\",\"percent\":$s->{percent},"
        . "\"enabled\":true,\"epoch\":$s->{epoch},\"tripped\":$tripped,"
        . "\"trip\":$latch,\"stages\":[1,5,25,50,100],"
        . "\"guardrails\":$guardrails,"
        . '"bundle":{"baseline":"v41","candidate":"v42"},"arms":{'
        . join(',', map { "\"$_\":" . arm($node->{arm}{$_} // {}) }
               qw(baseline candidate))
        . '}}]}';
}


sub arm {
    my ($arm) = @_;
    my ($requests, $errors) = map { $_ // 0 } @$arm{qw(requests errors_status)};
    return '{"in_flight":0,'
        . join('', map { "\"$_\":" . ($arm->{$_} // 0) . ',' } @fields)
        . "\"by_user\":\"$errors,$errors\","
        . "\"first_byte_ms\":\"0,$requests\",\"latency_ms\":\"0,$requests\"}";
}


package Canary::Statuses::One;

sub address { return $_[0]{address} }


1;

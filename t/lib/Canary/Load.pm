package Canary::Load;

# Steady traffic of known users from a process of its own, while a test does
# something terrible.  Every answer is held against the oracle: a request that
# fails and a user that moves are both counted, with the first few in words.

use strict;
use warnings;

use JSON::PP qw(decode_json encode_json);
use Time::HiRes qw(time);

use Canary::HTTP ();
use Canary::Process qw(spawn);
use Canary::Util qw(pause slow slurp spew wait_until);


# start(address => ..., dir => ..., expect => { user => arm },
#       rate => requests a second, connections => 4, keepalive => 1)
#
# Who asks something else than "GET /" and judges by other rules gives
#       ask => sub { user -> bytes }, judge => sub { user, answer }
sub start {
    my ($class, %how) = @_;
    my $file = "$how{dir}/load." . ++(our $number);
    my $self = bless { file => $file }, $class;

    $self->{process} = spawn('load', log => "$file.log", code => sub {
        drive($file, rate => 400, connections => 4, keepalive => 1, %how);
    });
    wait_until(10, sub { -e $file }) or die "the load did not start\n";
    return $self;
}


sub process { return $_[0]{process} }


# So far; the figures are a tenth of a second old at most.
sub result {
    my ($self) = @_;
    return decode_json(slurp($self->{file}));
}


# Waits until that many more requests have been answered.
sub wait_requests {
    my ($self, $n) = @_;
    my $goal = $self->result->{requests} + $n;
    return wait_until(30, sub { $self->result->{requests} >= $goal });
}


sub stop {
    my ($self) = @_;
    spew("$self->{file}.stop", '');
    defined $self->{process}->wait_end(30) or die "the load does not stop\n";
    return $self->result;
}


sub drive {
    my ($file, %how) = @_;
    my @users = sort keys %{ $how{expect} };
    my %result = (requests => 0, failed => 0, moved => 0, slowest => 0,
                  waited => 0, first => []);
    my $chunk = $how{chunk} // 20;
    my $began = time;
    my ($at, $sent) = (0, 0);

    while (!-e "$file.stop" && getppid() != 1) {
        my @items = map { $users[$at++ % @users] } 1 .. $chunk;
        Canary::HTTP::sweep(
            address => $how{address}, items => \@items,
            connections => $how{connections},
            make => $how{ask} // sub { question($_[0], \%how) },
            answer => sub { count(\%result, $_[2]);
                            $how{judge} ? $how{judge}->(@_)
                                        : judge(\%result, \%how, @_) });

        $sent += $chunk;
        spew("$file.new", encode_json(\%result));
        rename "$file.new", $file;

        my $ahead = $sent / $how{rate} - (time - $began);
        pause($ahead < 0.2 ? $ahead : 0.2) if $ahead > 0;
    }
}


sub question {
    my ($user, $how) = @_;
    return Canary::HTTP::message('GET', $how->{path} // '/', undef,
        'X-User-Id' => $user,
        ($how->{keepalive} ? () : (Connection => 'close')));
}


sub count {
    my ($result, $seconds) = @_;
    $result->{requests}++;
    $result->{slowest} = $seconds if $seconds > $result->{slowest};
    $result->{waited}++ if $seconds > 0.9 * slow();
}


sub judge {
    my ($result, $how, $user, $answer) = @_;
    my $arm = $answer->{headers}{'x-agent'} // 'nobody';
    my $expected = $how->{expect}{$user};
    my $wrong;

    if ($answer->{status} != 200) {
        $result->{failed}++;
        $wrong = "$user got status $answer->{status}";
    } elsif ($arm ne $expected) {
        $result->{moved}++;
        $wrong = "$user went to $arm instead of $expected";
    } else {
        return;
    }

    push @{ $result->{first} }, $wrong if @{ $result->{first} } < 5;
}


1;

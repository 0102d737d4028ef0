package Canary::Traffic;

# Steady traffic from a process of its own that goes on whatever happens to
# it: answers may be errors, or never come.  A question is asked when its time
# has come, also while others are unanswered.

use strict;
use warnings;

use IO::Select;
use Time::HiRes qw(time);

use Canary::HTTP ();
use Canary::Oracle;
use Canary::Process qw(spawn);
use Canary::Util qw(spew wait_until);

use constant QUESTION =>
    '{"model":"agent","messages":[{"role":"user","content":"what now"}]}';


# start(address => ..., dir => ..., rate => requests a second, users => 400,
#       connections => 128, stream => 1)
sub start {
    my ($class, %how) = @_;
    my $file = "$how{dir}/traffic." . ++(our $number);
    my $self = bless { file => $file }, $class;

    $self->{process} = spawn('traffic', log => "$file.log", code => sub {
        drive($file, rate => 200, users => 400, connections => 128, %how);
    });
    wait_until(10, sub { -e $file }) or die "the traffic did not start\n";
    return $self;
}


sub process { return $_[0]{process} }


sub stop {
    my ($self) = @_;
    spew("$self->{file}.stop", '');
    defined $self->{process}->wait_end(30)
        or die "the traffic does not stop\n";
}


sub drive {
    my ($file, %how) = @_;
    my @users = Canary::Oracle::users($how{users});
    my $streamed = '"stream":true,"stream_options":{"include_usage":true}';
    my $body = $how{stream}
        ? QUESTION =~ s/\}$/,$streamed}/r : QUESTION;
    my ($next, $at) = (time, 0);
    my %open;                               # fileno => [socket, bytes]
    my $select = IO::Select->new;

    $SIG{PIPE} = 'IGNORE';
    spew($file, '');

    while (!-e "$file.stop" && getppid() != 1) {
        while ($next <= time && keys %open < $how{connections}) {
            $next += 1 / $how{rate};
            my $user = $users[$at++ % @users];
            my $socket = eval { Canary::HTTP::connect_to($how{address}) }
                or next;

            syswrite $socket, Canary::HTTP::message('POST',
                '/v1/chat/completions', $body, 'X-User-Id' => $user,
                'Connection' => 'close');
            $open{ fileno $socket } = $socket;
            $select->add($socket);
        }

        $next = time if $next < time - 1;

        for my $socket ($select->can_read(0.005)) {
            next if sysread $socket, my $bytes, 65_536;
            $select->remove($socket);
            delete $open{ fileno $socket };
            close $socket;
        }
    }
}


1;

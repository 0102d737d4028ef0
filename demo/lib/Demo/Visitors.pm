package Demo::Visitors;

# Users who ask all the time, from a process of their own, and a journal of
# what they got: a line for each answer.

use strict;
use warnings;

use IO::Handle;
use Time::HiRes qw(time);

use Canary::Load;
use Canary::Util qw(slurp);
use Demo::Traffic qw(arm_of question);


# start(address => ..., dir => ..., users => [...], rate => requests a second)
sub start {
    my ($class, %how) = @_;
    my $self = bless { path => "$how{dir}/journal" }, $class;
    my $n = 0;

    open my $journal, '>', $self->{path} or die "cannot write: $!\n";
    $journal->autoflush;

    $self->{load} = Canary::Load->start(
        address => $how{address}, dir => $how{dir}, rate => $how{rate},
        expect => { map { $_ => 1 } @{ $how{users} } }, chunk => 10,
        ask => sub { question($_[0], $n++ % 10 == 9) },
        judge => sub { print {$journal} line(@_) });
    close $journal;
    return $self;
}


sub line {
    my ($user, $answer) = @_;
    return join(' ', sprintf('%.6f', time), $user,
                $answer->{headers}{'x-agent'} // 'nobody',
                defined arm_of($answer) ? 'well' : 'badly') . "\n";
}


# The answers since then: each with when it came (at), its user and arm, and
# whether it was a good one (well).
sub answers {
    my ($self, $since) = @_;
    my @answers = map {
        my ($at, $user, $arm, $how) = split / /;
        { at => $at, user => $user, arm => $arm, well => $how eq 'well' };
    } slurp($self->{path}) =~ /^(.+)\n/mg;

    return grep { $_->{at} >= ($since // 0) } @answers;
}


sub stop { $_[0]{load}->stop }


1;

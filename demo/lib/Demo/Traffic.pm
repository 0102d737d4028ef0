package Demo::Traffic;

# Users who talk to the agents: chat completions, one in ten of them streamed.

use strict;
use warnings;

use Exporter qw(import);
use JSON::PP qw(decode_json);

use Canary::HTTP ();

our @EXPORT_OK = qw(arm_of ask buckets question streamed);

# of a number of words for which demo/agent with "tokens-factor" 1.75 bills
# what costs 1.6 times as much, at the prices of demo/prices.json
use constant QUESTION => 'Where is my parcel? It should have come yesterday.';

my %body = map {
    my $stream = $_ ? ',"stream":true,"stream_options":{"include_usage":true}'
                    : '';
    ($_ => '{"model":"support","messages":[{"role":"user","content":'
           . '"' . QUESTION . qq("}]$stream}));
} 0, 1;


sub question {
    my ($user, $stream) = @_;
    return Canary::HTTP::message('POST', '/v1/chat/completions',
                                 $body{ $stream ? 1 : 0 },
                                 'X-User-Id' => $user);
}


# The arm that gave a whole answer, or nothing: the header has to agree with
# what the body says, and a stream must not end early.
sub arm_of {
    my ($answer) = @_;
    my $arm = $answer->{headers}{'x-agent'} // '';
    my $stream = ($answer->{headers}{'content-type'} // '') =~ /event-stream/;

    return if $answer->{status} != 200 || !length $arm
        || index($answer->{body}, "fp_$arm") < 0
        || $stream && index($answer->{body}, 'data: [DONE]') < 0;
    return $arm;
}


# ask(address => ..., users => [...], times => n): what came of it
#     { arm => { user => arm }, requests, failed, moved }
# where moved counts answers of another arm than the user had at first.
sub ask {
    my (%how) = @_;
    my %result = (arm => {}, requests => 0, failed => 0, moved => 0);
    my $n = 0;
    my @items = map {
        map { [$_, $n++ % 10 == 9] } @{ $how{users} }
    } 1 .. $how{times} // 1;

    Canary::HTTP::sweep(
        address => $how{address}, items => \@items, connections => 16,
        make => sub { question(@{ $_[0] }) },
        answer => sub {
            my ($item, $answer) = @_;
            my ($user) = @$item;
            my $arm = arm_of($answer);

            $result{requests}++;
            return $result{failed}++ if !defined $arm;
            $result{moved}++ if ($result{arm}{$user} //= $arm) ne $arm;
        });

    return \%result;
}


# The words and the usage of a streamed answer, and in how many events it came.
sub streamed {
    my ($address, $user) = @_;
    my $answer = Canary::HTTP::raw($address, question($user, 1));
    my @events = map { decode_json($_) }
        grep { /^\{/ } map { s/^data: //r } split /\n\n/, $answer->{body};
    my ($usage) = grep { $_ } map { $_->{usage} } @events;
    my $text = join '', map { $_->{choices}[0]{delta}{content} // '' } @events;

    return { text => $text, events => scalar @events,
             arm => $answer->{headers}{'x-agent'} // 'nobody',
             tokens => $usage ? $usage->{total_tokens} : 0 };
}


# { user => bucket }, as nginx explains it.
sub buckets {
    my ($address, @users) = @_;
    my %bucket;

    Canary::HTTP::sweep(
        address => $address, items => \@users, connections => 8,
        make => sub { Canary::HTTP::message(
            'GET', "/canary/explain?flag=support&key=$_[0]") },
        answer => sub {
            my ($user, $answer) = @_;
            $bucket{$user} = decode_json($answer->{body})->{bucket}
                if $answer->{status} == 200;
        });
    return \%bucket;
}


1;

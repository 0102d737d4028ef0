package Canary::Sidecar;

# A real agent-canaryd beside a real nginx, as a child of the test.

use strict;
use warnings;

use Canary::HTTP ();
use Canary::Process qw(alive spawn);
use Canary::Util qw(free_port root slurp wait_until);


sub binary { return $ENV{AGENT_CANARYD} || root() . '/build/agent-canaryd' }


# new(dir => ..., name => ..., nginx => what has an address(), redis => ...,
#     redis_url => one or a list, port => ..., options => [...],
#     env => {...}, state => 0 for none)
sub new {
    my ($class, %how) = @_;
    my $self = bless { options => [], state => 1, %how }, $class;

    $self->{home} = "$how{dir}/$how{name}";
    $self->{port} //= free_port();
    mkdir $self->{home};
    return $self;
}


sub log_text { return slurp("$_[0]{home}/log") // '' }
sub process { return $_[0]{process} }
sub listens { return "127.0.0.1:$_[0]{port}" }
sub running { return $_[0]{process} && alive($_[0]{process}) }
sub state_path { return "$_[0]{home}/state" }


sub command {
    my ($self) = @_;
    my $redis = $self->{redis_url} // $self->{redis}->url;
    my $nginx = $self->{nginx}->address;

    return (binary(), '--nginx', $nginx =~ /^unix:/
                ? "$nginx:/canary/" : "http://$nginx/canary/",
            (map { ('--redis', $_) } ref $redis ? @$redis : $redis),
            '--instance', $self->{name},
            ($self->{state} ? ('--state', $self->state_path) : ()),
            '--listen', $self->listens,
            @{ $self->{options} });
}


# launch(what comes before the command): without waiting for anything
sub launch {
    my ($self, @before) = @_;
    $self->{process} = spawn($self->{name}, log => "$self->{home}/log",
                             command => [@before, $self->command],
                             env => $self->{env});
    return $self;
}


sub start {
    my ($self) = @_;
    $self->launch;
    wait_until(10, sub { !$self->running || $self->healthy })
        && $self->running
        or die "$self->{name} did not start:\n" . $self->log_text;
    return $self;
}


sub get {
    my ($self, $path) = @_;
    return eval { Canary::HTTP::get($self->listens, $path) }
        // { status => 0, body => '' };
}


sub healthy { return $_[0]->get('/healthz')->{status} == 200 }


# The value of a series, by its whole name with labels, or nothing.
sub metric {
    my ($self, $series) = @_;
    return $self->get('/metrics')->{body} =~ /^\Q$series\E (\S+)$/m
        ? $1 : undef;
}


sub wait_metric {
    my ($self, $series, $wanted, $seconds) = @_;
    return wait_until($seconds // 10, sub {
        my $value = $self->metric($series);
        defined $value && $value == $wanted;
    });
}


# Waits for so many more exchanges with a party that went well.
sub exchanges {
    my ($self, $party, $n) = @_;
    return exchanged($party, $n, $self);
}


# The same for several sidecars at the same time.
sub exchanged {
    my ($party, $n, @sidecars) = @_;
    return grows("agent_canaryd_exchanges_total{party=\"$party\","
                 . 'outcome="ok"}', $n, @sidecars);
}


# Waits for so many more turns of the judge.
sub turns {
    my ($self, $n) = @_;
    return grows('agent_canaryd_ticks_total', $n, $self);
}


sub grows {
    my ($series, $n, @sidecars) = @_;
    my @before = map { $_->metric($series) // 0 } @sidecars;

    for my $i (0 .. $#sidecars) {
        wait_until(20, sub {
            ($sidecars[$i]->metric($series) // 0) >= $before[$i] + $n;
        }) or return;
    }

    return 1;
}


sub wait_log {
    my ($self, $pattern, $seconds) = @_;
    return wait_until($seconds // 10, sub { $self->log_text =~ $pattern });
}


# Returns the wait status.
sub stop {
    my ($self) = @_;
    return $self->{process}->stop('TERM', 10);
}


sub kill_hard {
    my ($self) = @_;
    $self->{process}->signal('KILL');
    $self->{process}->wait_end(10);
}


sub complaints {
    my ($self) = @_;
    return grep { /Sanitizer|runtime error:/ } split /\n/, $self->log_text;
}


1;

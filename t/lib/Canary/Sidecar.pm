package Canary::Sidecar;

# A real agent-canaryd beside a real nginx, as a child of the test.

use strict;
use warnings;

use Canary::HTTP ();
use Canary::Process qw(alive spawn);
use Canary::Util qw(free_port root slurp wait_until);


sub binary { return $ENV{AGENT_CANARYD} || root() . '/build/agent-canaryd' }


# new(dir => ..., name => ..., nginx => Canary::Nginx, redis => Canary::Redis,
#     redis_url => ..., port => ..., options => [...])
sub new {
    my ($class, %how) = @_;
    my $self = bless { options => [], %how }, $class;

    $self->{home} = "$how{dir}/$how{name}";
    $self->{port} //= free_port();
    mkdir $self->{home};
    return $self;
}


sub log_text { return slurp("$_[0]{home}/log") // '' }
sub process { return $_[0]{process} }
sub listens { return "127.0.0.1:$_[0]{port}" }


sub start {
    my ($self) = @_;
    my $redis = $self->{redis_url} // $self->{redis}->url;

    $self->{process} = spawn($self->{name}, log => "$self->{home}/log",
        command => [binary(), '--nginx',
                    $self->{nginx}->address . ':/canary/',
                    '--redis', $redis, '--instance', $self->{name},
                    '--state', "$self->{home}/state",
                    '--listen', $self->listens,
                    @{ $self->{options} }]);
    wait_until(10, sub { !alive($self->{process}) || $self->healthy })
        && alive($self->{process})
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

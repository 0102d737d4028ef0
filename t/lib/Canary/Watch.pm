package Canary::Watch;

# A story of sidecars alone: nginx is made up, Redis is real, with the rights
# of conf/redis.acl.
#
#     my $watch = Canary::Watch->new;
#     my $nginx = $watch->nginx(b => 60, c => 20);
#     my $sidecar = $watch->sidecar('one', nginx => $nginx);
#     ...
#     $watch->end;

use strict;
use warnings;

use File::Temp qw(tempdir);
use JSON::PP qw(decode_json);
use Test::More;

use Canary::FakeNginx;
use Canary::Guard qw(audit with_acl);
use Canary::Process qw(descendants);
use Canary::Redis;
use Canary::Sidecar;
use Canary::Util qw(wait_until);
use Canary::Webhook;

use constant TRIP => 'agent-canary:trip:support';


sub new {
    my ($class, %how) = @_;
    my $dir = tempdir('canary-XXXXXX', TMPDIR => 1,
                      CLEANUP => !$ENV{TEST_CANARY_LEAVE});
    my $self = bless { redis_more => [], %how, dir => $dir, fakes => [],
                       sidecars => [] }, $class;

    diag("left in $dir") if $ENV{TEST_CANARY_LEAVE};
    $self->{login} = [with_acl($self)];
    return $self;
}


sub dir { return $_[0]{dir} }


sub redis {
    my ($self) = @_;
    return $self->{redis} //= Canary::Redis->new(dir => $self->{dir},
        options => [@{ $self->{redis_options} }, @{ $self->{redis_more} }])
        ->start;
}


sub nginx {
    my ($self, %settings) = @_;
    push @{ $self->{fakes} }, Canary::FakeNginx->start(%settings);
    return $self->{fakes}[-1];
}


sub webhook {
    my ($self, %how) = @_;
    return $self->{webhook} = Canary::Webhook->start(dir => $self->{dir},
                                                     %how);
}


# As of Canary::Sidecar, not started.
sub new_sidecar {
    my ($self, $name, %how) = @_;
    my $sidecar = Canary::Sidecar->new(
        dir => $self->{dir}, name => $name, redis => $self->redis, %how,
        options => [@{ $self->{login} }, @{ $how{options} // [] }]);
    push @{ $self->{sidecars} }, $sidecar;
    return $sidecar;
}


sub sidecar {
    my ($self, @how) = @_;
    return $self->new_sidecar(@how)->start;
}


# The trip in Redis, or nothing.
sub trip {
    my ($self) = @_;
    my $json = eval { $self->redis->cmd('GET', TRIP) } or return;
    return decode_json($json);
}


# Waits for the trip of this epoch in Redis: one test.
sub tripped {
    my ($self, $epoch, $what) = @_;
    my $trip;
    ok(wait_until(15, sub {
        $trip = $self->trip;
        $trip && $trip->{epoch} == $epoch;
    }), $what) or diag(map { $_->log_text } @{ $self->{sidecars} });
    return $trip;
}


# Waits for so many audit entries, and then until the sidecars have nothing
# left to write and have asked Redis again: there is none more.  One test.
sub audited {
    my ($self, $n, $what) = @_;
    my @alive = grep { $_->running } @{ $self->{sidecars} };

    wait_until(15, sub { (eval { audit($self->redis) } // 0) >= $n });
    $_->wait_metric('agent_canaryd_events_pending', 0) for @alive;
    Canary::Sidecar::exchanged('redis', 2, @alive);
    is(scalar audit($self->redis), $n, $what)
        or diag(map { $_->log_text } @alive);
}


# Everything is as at the beginning.
sub wipe {
    my ($self) = @_;
    $self->redis->cmd('FLUSHALL');
}


# Ends what it has started: two tests for each sidecar.
sub stop {
    my ($self) = @_;

    for my $sidecar (@{ $self->{sidecars} }) {
        is($sidecar->stop, 0, "$sidecar->{name} ends cleanly")
            if $sidecar->running;
        is(join("\n", $sidecar->complaints), '',
           "$sidecar->{name}: no finding of a sanitizer");
    }

    $_->stop for @{ $self->{fakes} };
    $self->{webhook}->close if $self->{webhook};
    $self->{redis}->stop if $self->{redis};
}


sub end {
    my ($self) = @_;
    my @left;

    $self->stop;
    wait_until(5, sub { !(@left = descendants()) });
    is(join(', ', map { "$_->[1] ($_->[0])" } @left), '',
       'no process is left behind');
    done_testing();
}


1;

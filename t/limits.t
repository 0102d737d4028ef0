#!/usr/bin/env perl

# A worker that has no file descriptor, or no connection, left: the link to
# Redis waits until there is one again, what users have is held, and nothing
# is lost or left over when the crowd has gone.  (Row N14.)

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::HTTP;
use Canary::Ledger;
use Canary::Script qw(hang);
use Canary::Story;
use Canary::Util qw(wait_until);

my $story = Canary::Story->new(workers => 1);
my $agent = Canary::Script->start(dir => $story->dir, name => 'script',
                                  parts => { mute => [hang()] });
$story->{http} = "upstream script { server @{[$agent->address]}; }"
    . 'proxy_read_timeout 60s;';
$story->{server} = <<'END';
        location /crowd/ {
            agent_canary crowd key=$http_x_user_id
                         baseline=script candidate=script;
            proxy_pass http://agent_canary;
        }
END

my $redis = $story->redis;
$redis->flag(support => percent => 50, epoch => 1);
$redis->flag(crowd => percent => 0);
my $nginx = $story->start;
my $expected = $story->expected(50, 100);

# what nginx itself says of it
$nginx->allow_log(qr/\(24: (?:Too many open files|No file descriptors)/,
                  qr/worker_connections are not enough/);


# Requests that are never answered, until one more is not taken, nor passed
# on: a place for a client is left free, and not one for an agent besides.
sub crowd {
    my $full = qr/Too many open files|worker_connections are not enough/;
    my $logged = length $nginx->log_text;
    my @crowd;
    local $SIG{PIPE} = 'IGNORE';

    wait_until(20, sub {
        my $socket = eval { Canary::HTTP::connect_to($nginx->address) };

        if ($socket) {
            syswrite $socket, Canary::HTTP::message('GET', '/crowd/mute',
                undef, 'X-User-Id' => 'a');
            push @crowd, $socket;
        }

        return substr($nginx->log_text, $logged) =~ $full;
    });
    return @crowd;
}


for (['file descriptors', main => 'worker_rlimit_nofile 48;'],
     ['connections', main => '', connections => 40])
{
    my ($what, %change) = @$_;

    ok($nginx->reload(%change), "$what: few of them");
    ok($nginx->wait_redis('ready'), "$what: the link is ready");
    ok(wait_until(10, sub { $nginx->settled }), "$what: one worker");
    my ($worker) = $nginx->workers;

    my @crowd = crowd();
    cmp_ok(scalar @crowd, '>', 5, "$what: " . @crowd . ' came');
    my $logged = length $nginx->log_text;
    $redis->cmd('CLIENT', 'KILL', 'TYPE', $_, 'SKIPME', 'yes')
        for qw(normal pubsub);
    ok(wait_until(10, sub {
        substr($nginx->log_text, $logged) =~ /agent canary: link to Redis/;
    }), "$what: the link is lost meanwhile");
    $redis->flag(support => bundle_candidate => $what =~ s/ .*//r);
    is(($nginx->workers)[0], $worker, "$what: the worker lives");

    close $_ for @crowd;
    ok($nginx->wait_redis('ready'), "$what: the link is back");
    ok(wait_until(10, sub {
        $nginx->flag('support')->{bundle}{candidate} eq $what =~ s/ .*//r;
    }), "$what: what was written meanwhile is there");
    $story->arms_are($expected, "$what: everybody is where they belong");
    is(($nginx->workers)[0], $worker, "$what: it is the same worker");

    my $in_flight;
    ok(wait_until(10, sub {
        $in_flight = ($nginx->flag('crowd')->{arms} // {})
            ->{baseline}{in_flight};
        defined $in_flight && $in_flight == 0;
    }), "$what: nothing is in flight") or diag($in_flight);
}

my $arm = $nginx->flag('crowd')->{arms}{baseline};
my @errors = grep { /^errors_/ && $arm->{$_} } sort keys %$arm;
is("@errors", '', 'what nginx has too little of is no failure of an arm')
    or diag(explain($arm));

$agent->process->stop;
$story->end;

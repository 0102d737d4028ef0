package Bench::Instructions;

# Instructions of a proxied request, counted by callgrind: the same in every
# run, and blind to whatever else the machine does.  Not counted are
#   - the kernel: it does the same for all
#   - malloc() and free(): all rows call them alike, but what a call costs is
#     up to how the heap happens to be cut, and differs by hundreds
#   - what comes with time and not with requests, as the poll of Redis every
#     5 seconds: "bench/run scale" measures that
#
# One process serves one client that asks one question after another.  After
# some thousand requests the counter is set to zero, after a fixed number it
# is read: no start-up, no parsing of a configuration or of a flag.

use strict;
use warnings;

use Bench qw(at_most load say_table);
use Bench::Routers;
use Canary::Util qw(command_output slurp wait_until);

use constant {
    WARM_UP  => 3_000,
    REQUESTS => 10_000,
    GOAL     => 800,
    FLAT     => 50,
    ENTRIES  => 100_000,
    FLAGS    => 10_000,
};


sub run {
    my ($dir) = @_;
    my $routers = Bench::Routers->new(dir => $dir);
    my %count;

    fill_flags($routers->redis);

    for my $row (rows()) {
        my ($key, undef, $router, %how) = @$row;
        $count{$key} = count($routers, $key, $router, %how);
    }

    say_table('Instructions of a proxied request, and the part of a decision',
        ['', 'in all', 'over static', 'goal', '', 'decision', 'goal', ''],
        map { line($_->[0], $_->[1], \%count) } rows());
}


# One goal is for what the module adds to a request.  The other says that a
# decision costs the same however much is configured.
sub line {
    my ($key, $title, $count) = @_;
    my %like = (allow => 'allow_1', tenants => 'tenants_1',
                flags => 'canary');
    my $row = $count->{$key};
    my @cells = ($title, sprintf '%.0f', $row->{total});
    my $over = $row->{total} - $count->{static}{total};

    return \@cells if $key eq 'static';
    push @cells, sprintf '%+.0f', $over;
    push @cells, $key eq 'canary' || $key eq 'state'
        ? ('<= ' . GOAL, at_most($over, GOAL)) : ('', '');

    # inlined, it has no figure of its own
    return \@cells if !$row->{decision};
    push @cells, sprintf '%.0f', $row->{decision};
    return \@cells if !$like{$key};

    my $limit = $count->{ $like{$key} }{decision} + FLAT;
    return [@cells, sprintf('<= %.0f', $limit),
            at_most($row->{decision}, $limit)];
}


# [key, title, router, options]
sub rows {
    return (
        ['static', 'static proxy_pass', 'static'],
        ['canary', 'agent_canary, 25 %', 'agent_canary'],
        ['state', '  with a state file', 'agent_canary',
         zone => '8m state=%/state'],
        ['allow_1', '  with 1 user in allow', 'agent_canary',
         flag => 'allow_1'],
        ['allow', '  with 100,000 users in allow', 'agent_canary',
         flag => 'allow', zone => '64m'],
        ['tenants_1', '  with 1 tenant', 'agent_canary',
         flag => 'tenants_1', tenant => 'tenant=$http_x_user_id'],
        ['tenants', '  with 100,000 tenants', 'agent_canary',
         flag => 'tenants', zone => '64m',
         tenant => 'tenant=$http_x_user_id'],
        ['flags', '  with 10,000 flags', 'agent_canary',
         zone => '64m', http => other_flags()],
        ['split', 'split_clients, proxy_pass $variable', 'split_clients'],
        ['lua', 'Lua, shared dict, proxy_pass $variable', 'lua_dict'],
    );
}


# No entry is of a user who asks: every search goes to its end.
sub fill_flags {
    my ($redis) = @_;
    my @names = map { sprintf 'somebody-%06d', $_ } 1 .. ENTRIES;
    my $list = '[' . join(',', map { qq("$_") } @names) . ']';
    my $table = '{' . join(',', map { qq("$_":50) } @names) . '}';

    $redis->flag('allow', percent => 25, allow => $list);
    $redis->flag('allow_1', percent => 25, allow => '["somebody"]');
    $redis->flag('tenants', percent => 25, tenants => $table);
    $redis->flag('tenants_1', percent => 25, tenants => '{"somebody":50}');
    $redis->flag("other$_", percent => 5) for 1 .. FLAGS;
}


# In a server of their own: the locations of one server cost what they cost
# without us.
sub other_flags {
    return <<"END" . join('', map { <<"END" } 1 .. FLAGS) . "    }\n";
    server {
        listen unix:%/other.sock;
END
        location = /$_ {
            agent_canary other$_ key=\$http_x_user_id baseline=baseline
                         candidate=candidate;
            return 204;
        }
END
}


sub count {
    my ($routers, $key, $router, %how) = @_;
    my $out = "$routers->{dir}/$key.callgrind";

    s/%/$routers->{dir}/g for values %how;

    $how{redis} = 'poll=1h' if $router eq 'agent_canary';

    my $nginx = $routers->$router(%how, name => $key, workers => 0,
        prefix => ['valgrind', '--tool=callgrind',
                   "--callgrind-out-file=$out"])->start;
    my $pid = $nginx->server_pid;

    wait_flags($nginx) if $router eq 'agent_canary';
    load($nginx->port, 1, WARM_UP);
    control('-z', $pid);
    my $share = load($nginx->port, 1, REQUESTS);
    control('-d', $pid);

    Bench::Routers::check_share($share, $router ne 'static');

    $nginx->stop;

    my ($total) = (slurp("$out.1") // '') =~ /^summary: (\d+)/m
        or die "callgrind left no counts in $out.1\n";

    return {
        total    => $total / REQUESTS
                    - functions("$out.1", '--inclusive=no',
                                qr{malloc/(?:malloc|arena)\.c:}),
        decision => functions("$out.1", '--inclusive=yes',
                              qr{:ngx_agent_canary_decision }),
    };
}


# The instructions that functions like these, "file:name", take of a request.
sub functions {
    my ($out, $how, $like) = @_;
    my ($text, $status) = command_output('callgrind_annotate', $how,
                                         '--auto=no', '--threshold=100', $out);
    my $sum = 0;

    die "callgrind_annotate failed:\n$text" if $status;

    for (split /\n/, $text) {
        my ($count, $name) = /^ *([\d,]+) \([ \d.]+%\)  (\S*:.*)/ or next;
        $sum += $count =~ tr/,//dr if $name =~ $like;
    }

    return $sum / REQUESTS;
}


sub wait_flags {
    my ($nginx) = @_;

    wait_until(60, sub {
        my $status = $nginx->status;
        $status && !grep { $_->{state} ne 'ok' } @{ $status->{flags} };
    }) or die "the flags did not arrive:\n" . $nginx->log_text;
}


sub control {
    my ($command, $pid) = @_;
    my ($text, $status) = command_output('callgrind_control', $command, $pid);

    die "callgrind_control failed: $text" if $status || $text !~ /OK/;
}


1;

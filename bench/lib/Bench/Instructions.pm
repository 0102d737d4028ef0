package Bench::Instructions;

# Instructions of a proxied request: see Bench::Callgrind.  One process serves
# one client that asks one question after another.

use strict;
use warnings;

use Bench qw(at_most say_table);
use Bench::Callgrind qw(instructions);
use Bench::Routers;

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

    say_table('Instructions of a proxied request',
        ['', 'in all', 'over static', 'goal', ''],
        map { line($_->[0], $_->[1], \%count) } rows());
}


# One goal is for what the module adds to a request.  The other says that a
# request costs the same however much is configured.
sub line {
    my ($key, $title, $count) = @_;
    my %like = (allow => 'allow_1', tenants => 'tenants_1',
                flags => 'canary');
    my @cells = ($title, sprintf '%.0f', $count->{$key});
    my $over = $count->{$key} - $count->{static};

    return \@cells if $key eq 'static';
    push @cells, sprintf '%+.0f', $over;

    my $limit = $like{$key} ? $count->{ $like{$key} } - $count->{static} + FLAT
              : $key eq 'canary' || $key eq 'state' ? GOAL : undef;

    return \@cells if !defined $limit;
    return [@cells, sprintf('<= %.0f', $limit), at_most($over, $limit)];
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

    s/%/$routers->{dir}/g for values %how;

    my ($count, $share) = instructions(routers => $routers,
        router => $router, options => \%how, name => $key,
        warm_up => WARM_UP, requests => REQUESTS);

    Bench::Routers::check_share($share, $router ne 'static');
    return $count;
}


1;

#!/usr/bin/env perl

# What people and scripts write into flags.  A value that is not exactly right
# changes nothing, and the status quotes it, with the field it stands in.
# (Rows H6, H7, R12 of the fault matrix, through a real Redis.)

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP qw(decode_json encode_json);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Story;
use Canary::Util qw(wait_until);

my $story = Canary::Story->new(workers => 2);
my $redis = $story->redis;
my @good = (percent => 50, epoch => 2);
$redis->flag(support => @good);
my $nginx = $story->start;
$nginx->wait_flag('support', state => 'ok') or die 'no flag';

my $load = $story->load($story->expected(50));
my $round = 0;


# The flag with one field replaced; a bundle that counts tells when it was
# read.
sub write_field {
    my ($field, $value) = @_;
    $redis->cmd('MULTI');
    $redis->cmd('DEL', 'agent-canary:flag:support');
    $redis->cmd('HSET', 'agent-canary:flag:support', @good,
                'bundle_baseline', 'round-' . ++$round);
    $redis->cmd('HSET', 'agent-canary:flag:support', $field, $value);
    $redis->cmd('EXEC');
}


sub applied {
    return ($nginx->flag('support')->{bundle}{baseline} // '')
        eq "round-$round";
}


my %invalid = (
    percent  => ['', ' ', '-5', '-0', '+5', '101', '100.001', 'nan', 'NaN',
                 'inf', '-inf', '1e2', '1e400', '0x10', '5abc', ' 5', '5 ',
                 "5\n", "5\0", '5,5', '5.', '.5', '5.0000', '05', '00',
                 '0.1234', '--5', 'true', '"5"', '[5]', '٥', '５', '5%',
                 '99999999999999999999', '9' x 5000, '50.', "\x{ff}"],
    enabled  => ['', '2', 'true', 'yes', '01', ' 1', '-1', 'on'],
    epoch    => ['', '-1', '1.5', '1e3', '0x1', '1000000000000000', '9' x 30,
                 ' 3', '3 ', 'three'],
    salt     => ['', "a\nb", "\xff\xfe", 'x' x 129],
    stages   => ['', '100,50', '1,1,100', '1,5,25,50', '0,100', '1,5,101',
                 '1, 5,100', '1,,100', ',100', '1,100,', 'a,100',
                 join(',', 1 .. 17, 100)],
    allow    => ['', 'alice', '"alice"', '{"a":1}', '[1]', '[null]', '[""]',
                 '[" a"]', '["a","a"]', '["a"', '["a"]x', '[["a"]]',
                 "[\"\xff\"]", '[' x 100_000, '["' . 'x' x 200_000],
    deny     => ['[1]', '["a",]', 'null', '[' x 20 . ']' x 20],
    tenants  => ['', '[]', '{"a":"5"}', '{"a":101}', '{"a":-1}', '{"a":null}',
                 '{"a":1e400}', '{"a":0.1234}', '{"a":true}', '{"":5}',
                 '{"a":5', '{"a":5}}', '{"a":5,"a":6}', '{"a":' x 50_000],
    bundle_candidate => ['', "a\tb\x01", "\xc3", 'x' x 129],
    mode     => ['', 'auto', 'FULL', ' full', 'full '],
    shadow   => ['', '-1', '101', 'nan', '1e1'],
    guardrails => ['', 'x', '[]', '"x"', '{"a":', '{' x 100_000],
    plan     => ['', 'x', '[{"percent":1}', '[' x 100_000],
);

# What a reason has to show of a value: all of it when it is short and plain;
# of a list that is one, the entry that is wrong.
sub quoted {
    my ($value) = @_;
    my $list = eval { decode_json($value) };

    return '"' if ref $list || $value !~ /\A[ -~]{1,40}\z/;
    return qq("$value");
}

for my $field (sort keys %invalid) {
    for my $value (@{ $invalid{$field} }) {
        utf8::encode($value) if utf8::is_utf8($value);
        write_field($field, $value);

        my $shown = encode_json([substr $value, 0, 24]);
        my $flag = wait_until(5, sub {
            my $f = $nginx->flag('support');
            $f->{state} eq 'invalid' && $f->{reason} =~ /^\Q$field\E/
                && index($f->{reason}, quoted($value)) >= 0 && $f;
        });
        ok($flag, "$field = $shown: refused, with field and value")
            or diag(explain($nginx->flag('support')));
        ok(!applied(), 'and nothing of the record is used')
            or diag("$field = $shown");
    }

    # between the fields, so that each of them meets a valid flag
    write_field(owner => 'me');
    ok(wait_until(5, sub { $nginx->flag('support')->{state} eq 'ok'
                               && applied() }), "$field: a good one again");
}

$redis->cmd('MULTI');
$redis->cmd('DEL', 'agent-canary:flag:support');
$redis->cmd('HSET', 'agent-canary:flag:support', 'enabled', 1, 'epoch', 2);
$redis->cmd('EXEC');
ok($nginx->wait_flag('support', state => 'invalid', reason => qr/^percent/),
   'a flag without a percent');


# -- what is unusual but right ------------------------------------------------

my %valid = (
    percent => ['50', '50.0', '50.000'],
    enabled => ['1'],
    epoch   => ['2'],
    stages  => ['100', '0.001,100', '1,5,25,50,100'],
    allow   => ['[]', ' [ ] ', '["zoe \u00fc"]'],
    tenants => ['{}', '{"a":5}', '{"a":0.001,"b":100}'],
    mode    => ['suggest', 'full'],
    plan    => ['[]', '{}'],
    guardrails => ['{}'],
    'a field of tomorrow' => ['x'],
    "\xff\x00\n" => ['x'],
);

for my $field (sort keys %valid) {
    for my $value (@{ $valid{$field} }) {
        write_field($field, $value);
        ok(wait_until(5, sub { $nginx->flag('support')->{state} eq 'ok'
                                   && applied() }),
           encode_json([$field, $value]) . ': accepted');
    }
}


# -- trips --------------------------------------------------------------------

for my $trip ('x', ' ', '[]', '{}', '{"epoch":"2"}', '{"epoch":-1}',
              '{"epoch":2.5}', '{"epoch":1e3}', '{"epoch":2,"percent":101}',
              '{"epoch":2,"percent":"0"}', '{"epoch":2,"flag":"other"}',
              '{"epoch":2', '[' x 50_000,
              '{"epoch":2,"x":"' . 'y' x 70_000 . '"}')
{
    my $shown = encode_json([substr $trip, 0, 24]);

    $redis->trip(support => $trip);
    ok($nginx->wait_flag('support', state => 'invalid', reason => qr/\S/),
       "trip $shown: refused")
        or diag(explain($nginx->flag('support')));
    ok(!$nginx->flag('support')->{tripped}, 'and trips nothing');
    $redis->cmd('DEL', 'agent-canary:trip:support');
    ok($nginx->wait_flag('support', state => 'ok'), 'gone');
}

my $result = $story->end_load($load, 'through all of it');
ok($nginx->get('/canary/metrics')->{status} == 200, 'metrics still work');
$story->end;

#!/usr/bin/env perl

# Users choose what they send.  Any bytes as an id: no crash, one side, the
# same side each time, and no way to a side of one's choice by padding or by
# sending the header twice.  (Rows H1 to H4 of the fault matrix.)

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP qw(encode_json);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::HTTP;
use Canary::Oracle qw(bucket);
use Canary::Story;

# the agents echo the id in a header of their own
my $http = <<'END';
    proxy_buffer_size 16k;
    proxy_buffers 8 16k;
END

my $story = Canary::Story->new(workers => 1, http => $http,
                               location => <<'END', server => <<'END2');
            agent_canary_override $http_x_override;
            add_header X-Bucket "<$agent_canary_bucket>" always;
END
        location /cookie {
            agent_canary support key=$cookie_user
                         baseline=baseline_agent candidate=candidate_agent;
            add_header X-Bucket "<$agent_canary_bucket>" always;
            proxy_pass http://agent_canary;
        }
        location /argument {
            agent_canary support key=$arg_user
                         baseline=baseline_agent candidate=candidate_agent;
            add_header X-Bucket "<$agent_canary_bucket>" always;
            proxy_pass http://agent_canary;
        }
END2
$story->redis->flag(support => percent => 50);
my $nginx = $story->start;
$nginx->wait_flag('support', state => 'ok') or die 'no flag';
my ($worker) = $nginx->workers;

# repeated headers: nginx 1.23 and newer join them, older ones take the first
my ($minor) = $nginx->status->{nginx} =~ /^1\.(\d+)/;
my $joins = $minor >= 23;


sub send_lines {
    my ($path, @lines) = @_;
    return Canary::HTTP::raw($nginx->address,
        join("\r\n", "GET $path HTTP/1.1", 'Host: x', 'Connection: close',
             @lines) . "\r\n\r\n");
}


# The id of these lines is this key; undef: no key, '400': nginx refuses.
sub key_is {
    my ($what, $key, @lines) = @_;
    my @answers = map { send_lines('/', @lines) } 1 .. 3;

    if (defined $key && $key eq '400') {
        is($_->{status}, 400, "$what: refused by nginx") for $answers[0];
        return;
    }

    my $number = defined $key ? bucket('support', $key) : undef;
    my $arm = !defined $number ? 'baseline'
        : $number < 50_000 ? 'candidate' : 'baseline';

    for my $answer (@answers) {
        is(join(' ', $answer->{status}, $answer->{headers}{'x-agent'} // 'none',
                $answer->{headers}{'x-bucket'} // 'none'),
           "200 $arm <" . ($number // '') . '>', $what);
    }
}


my $id = 'X-User-Id:';

key_is('plain', 'alice', "$id alice");
key_is('no blank', 'alice', "${id}alice");
key_is('many blanks', 'alice', "$id     alice    ");
key_is('tabs', 'alice', "$id\talice\t");
key_is('tabs and blanks', 'alice', "$id \t \talice \t ");
key_is('blanks inside stay', 'al ice', "$id al ice");
key_is('case matters', 'Alice', "$id Alice");
key_is('empty', undef, $id);
key_is('blanks only', undef, "$id  \t \t ");
key_is('no header', undef);
key_is('another spelling of the header', 'alice', 'x-uSER-iD: alice');
key_is('underscores are dropped by nginx', undef, 'X_User_Id: alice');

key_is('twice', $joins ? 'alice, bob' : 'alice', "$id alice", "$id bob");
key_is('twice, first empty', $joins ? ', bob' : undef, $id, "$id bob");
key_is('a list is one key', 'alice, bob', "$id alice, bob");

# ngx_hash() makes one number of these names
my @like = ('X-W5er-Id: bob', 'X-Usg4-Id: carol');
key_is('before one of the same hash', 'alice', "$id alice", $like[0]);
key_is('after one of the same hash', 'alice', $like[0], "$id alice");
key_is('between those of the same hash', 'alice', $like[0], "$id alice",
       $like[1]);
key_is('only others of the same hash', undef, @like);
key_is('only another of the same hash', undef, $like[0]);

key_is('quotes and backslashes', 'a"b\\c\'d', "$id a\"b\\c'd");
key_is('markup', '<script>alert(1)</script>', "$id <script>alert(1)</script>");
key_is('template', '${jndi:x} $host {{7*7}} %s%n',
       "$id \${jndi:x} \$host {{7*7}} %s%n");
key_is('Redis protocol', '*1$4 FLUSHALL', "$id *1\$4 FLUSHALL");
key_is('valid UTF-8', "k\xc3\xbcche", "$id k\xc3\xbcche");
key_is('invalid UTF-8', "\xff\xfe\xc3", "$id \xff\xfe\xc3");
key_is('overlong UTF-8', "\xc0\xaf", "$id \xc0\xaf");
key_is('no-break blanks stay', "\xc2\xa0alice", "$id \xc2\xa0alice");
key_is('control bytes', "a\x01\x02\x1b[31m\x7f", "$id a\x01\x02\x1b[31m\x7f");
key_is('form feeds stay', "\x0calice\x0b", "$id \x0calice\x0b");
key_is('one byte', 'x', "$id x");
key_is('4,000 bytes', 'x' x 4000, "$id " . 'x' x 4000);
key_is('8,000 bytes', 'y' x 8000, "$id " . 'y' x 8000);
key_is('9,000 bytes', '400', "$id " . 'z' x 9000);

# below and above each step of the hash's implementation
key_is("$_ bytes", 'k' x $_, "$id " . 'k' x $_)
    for 3, 4, 8, 9, 16, 17, 128, 129, 240, 241, 1024, 1025;

key_is('NUL', '400', "$id a\0b");
key_is('a bare CR', '400', "$id a\rb");
key_is('a folded line', '400', "$id a", ' b');


# -- more ways to carry an id -------------------------------------------------

is(send_lines('/cookie', 'Cookie: a=b; user=alice')->{headers}{'x-bucket'},
   '<' . bucket('support', 'alice') . '>', 'a cookie');
is(send_lines('/cookie', 'Cookie: user=')->{headers}{'x-bucket'}, '<>',
   'an empty cookie');
is(send_lines('/argument?user=alice')->{headers}{'x-bucket'},
   '<' . bucket('support', 'alice') . '>', 'an argument');
is(send_lines('/argument?user=al%69ce')->{headers}{'x-bucket'},
   '<' . bucket('support', 'al%69ce') . '>', 'is taken as it was sent');


# -- overrides of all kinds ---------------------------------------------------

for my $override ('Candidate', 'candidate ,', 'both', '0', 'x' x 5000,
                  "\xff\x01", 'baseline,candidate')
{
    my $answer = send_lines('/', "$id alice", "X-Override: $override");
    is($answer->{headers}{'x-reason'}, 'split',
       'no override by ' . encode_json([substr $override, 0, 20]));
}


# -- and a storm of it --------------------------------------------------------

srand 7;
my $odd = 0;
for (1 .. 500) {
    my $bytes = join '', map { chr int rand 256 } 1 .. 1 + rand 300;
    my $answer = send_lines('/', "$id $bytes");
    my $trimmed = $bytes =~ s/^[ \t]+|[ \t]+$//gr;
    next if $bytes =~ /[\0\r\n]/;
    my $expected = length $trimmed ? bucket('support', $trimmed) : '';
    $odd++ if $answer->{status} != 200
        || $answer->{headers}{'x-bucket'} ne "<$expected>";
}
is($odd, 0, 'random bytes, 500 times');

is(($nginx->workers)[0], $worker, 'the worker has lived through it');
ok($nginx->status, 'the status is still valid JSON');
$story->end;

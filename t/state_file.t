#!/usr/bin/env perl

# The state file lets nginx start with the users where they were while Redis
# is away.  It may be cut, rotten, forged or not a file at all: nginx starts,
# says so, and never follows, waits for or executes anything.
# (Rows N9 to N11 and N15 of the fault matrix.)

use strict;
use warnings;

use File::Basename qw(dirname);
use POSIX qw(mkfifo);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::HTTP;
use Canary::Snapshot qw(flag_entry seal snapshot write_snapshot);
use Canary::Story;
use Canary::Util qw(slurp spew wait_until);

my $story = Canary::Story->new(state => 1, workers => 2);
my $redis = $story->redis;
$story->chaos;
my $path = $story->state_path;
$redis->flag(support => percent => 50, epoch => 3);
my $nginx = $story->start;
my $expected = $story->expected(50, 100);


sub saved {
    return wait_until(10, sub {
        -e $path && !$nginx->status->{state_file}{pending};
    });
}


# -- what is written ----------------------------------------------------------

ok($nginx->wait_flag('support', state => 'ok') && saved(), 'a flag is saved');
is((stat $path)[2] & 07777, 0600, 'for nobody else to read');

my $inode = (stat $path)[1];
$redis->flag(support => percent => 60);
$nginx->wait_flag('support', percent => 60);
ok(saved(), 'a change is saved');
isnt((stat $path)[1], $inode, 'as a new file');
is(join(' ', map { s{.*/}{}r } glob $story->dir . '/state/*'), 'canary.state',
   'and no other file is left');

$redis->flag(support => percent => 50);
$nginx->wait_flag('support', percent => 50);
ok(saved(), 'saved');
is($nginx->stop, 0, 'stop');
my $whole = slurp($path);

my @before = (stat $path)[1, 7, 9];
my ($connections) = $story->chaos->counts;
my ($text, $status) = $nginx->test;
is($status, 0, 'nginx -t') or diag($text);
like($text, qr/1 flags/, 'reads the file');
is("@{[(stat $path)[1, 7, 9]]}", "@before", 'and does not write it');
is(($story->chaos->counts)[0], $connections, 'nor connect to Redis');


# -- damage -------------------------------------------------------------------

# What nginx -t says of these bytes as the state file.
sub verdict {
    my ($bytes) = @_;
    spew($path, $bytes);
    my ($text, $status) = $nginx->test;
    return 'died' if $status || $text !~ /test is successful/;
    return $text =~ /is not used: / ? 'refused'
         : $text =~ /damaged/       ? 'damaged'
         : $text =~ /: \d+ flags/   ? 'used' : 'silent';
}


sub verdicts {
    my ($wanted, $what, @files) = @_;
    my @wrong = grep { verdict($files[$_]) !~ $wanted } 0 .. $#files;
    ok(!@wrong, "$what (" . @files . ')')
        or diag("number $wrong[0]: ", verdict($files[ $wrong[0] ]));
}


chmod 0600, $path;
verdicts(qr/^used$/, 'the whole file is used', $whole);
verdicts(qr/^refused$/, 'cut after any byte',
         map { substr $whole, 0, $_ } 0 .. length($whole) - 1);
verdicts(qr/^refused$/, 'any bit of the head turned', map {
    my $bytes = $whole;
    vec($bytes, $_, 1) ^= 1;
    $bytes;
} 0 .. 8 * 32 - 1);
verdicts(qr/^refused$/, 'a bit of any byte turned', map {
    my $bytes = $whole;
    vec($bytes, 8 * $_ + $_ % 8, 1) ^= 1;
    $bytes;
} 32 .. length($whole) - 1);
verdicts(qr/^refused$/, 'something behind it', "$whole\0", "$whole$whole");
verdicts(qr/^refused$/, 'nonsense', '', "\0" x 1000, 'x' x 100_000,
         "acanary\n", "acanary\n" . "\xff" x 1000);

# with a checksum that is right
my $secret = Canary::Snapshot::SECRET;
my $entry = flag_entry('support', { percent => 50, epoch => 3 });
my $anything = qr/^(?:refused|damaged|used)$/;
verdicts($anything, 'entries cut after any byte, with a good checksum',
         map { seal($secret . substr($entry, 0, $_), 1) }
             0 .. length($entry) - 1);
verdicts(qr/^refused$/, 'another number of entries',
         map { seal($secret . $entry, $_) } 0, 2, 1000, 0xffff_ffff);
verdicts($anything, 'bits turned under a good checksum', map {
    my $bytes = $entry;
    vec($bytes, 8 * $_ + 7 * $_ % 8, 1) ^= 1;
    seal($secret . $bytes, 1);
} 0 .. length($entry) - 1);
verdicts($anything, 'flags that no parser takes',
         map { snapshot(flag_entry('support', $_)) }
             { percent => 'nan' }, {}, { percent => 101 }, { x => '' },
             { percent => 5, allow => '[' x 10_000 });
verdicts(qr/^used$/, 'flags of others', snapshot(
    $entry, map { flag_entry("other-$_", { percent => 1 }) } 1 .. 1000));


# -- what is not a state file -------------------------------------------------

# In time, too: a FIFO would hold a reader for ever.
sub not_used {
    my ($what, $why) = @_;
    my ($text, $status) = $nginx->test;
    is($status, 0, "$what: nginx starts") or diag($text);
    like($text, $why, "$what: and says why not");
    unlike($text, qr/flags\n/, "$what: it is not used");
}

sub replaced {
    unlink $path;
    rmdir $path;
}

replaced();
spew($story->dir . '/elsewhere', $whole);
chmod 0600, $story->dir . '/elsewhere';
symlink $story->dir . '/elsewhere', $path or die "symlink: $!";
not_used('a symbolic link', qr/is not used: open\(\) failed/);

replaced();
mkfifo($path, 0600) or die "mkfifo: $!";
not_used('a FIFO', qr/not a regular file/);

replaced();
mkdir $path;
not_used('a directory', qr/not a regular file/);

replaced();
spew($path, $whole);
chmod 0622, $path;
not_used('a file anybody may write', qr/writable/);

SKIP: {
    skip 'only root can give files away', 3 if $> != 0;
    chmod 0600, $path;
    chown 12345, 12345, $path;
    not_used('a file of somebody else', qr/belongs/);
}

replaced();
spew($path, '');
truncate $path, 2 * 1024 ** 3 or die "truncate: $!";
chmod 0600, $path;
not_used('a file of 2 GB', qr/larger/);
replaced();


# -- started from it, and with it gone ----------------------------------------

spew($path, $whole);
chmod 0600, $path;
$story->chaos->set_mode('close');
$nginx->start;
$story->arms_are($expected, 'started from the file without Redis');
$story->chaos->set_mode('pass');
ok($nginx->wait_redis('ready'), 'Redis is back');

# the directory vanishes while it runs
my $load = $story->load($expected);
rename $story->dir . '/state', $story->dir . '/gone' or die "rename: $!";
$redis->flag(support => bundle_candidate => 'unsaved');
ok(wait_until(10, sub { $nginx->status->{state_file}{failures} > 0 }),
   'a directory that is gone: told in the status');
ok($nginx->status->{state_file}{pending}, 'the change is pending');
ok($nginx->wait_log(qr/\[(?:error|crit)\].*canary\.state/), 'and in the log');
is(slurp($story->dir . '/gone/canary.state'), $whole, 'the old file is whole');
rename $story->dir . '/gone', $story->dir . '/state' or die "rename: $!";
ok(saved(), 'it heals when the directory is back');
isnt(slurp($path), $whole, 'and the change is saved');
$story->end_load($load, 'a directory that vanishes');
$nginx->allow_log(qr/\[crit\].*canary\.state/);

# killed at any moment: the old file or the new one
is($nginx->stop('TERM'), 0, 'stop');
$nginx->allow_log(qr/exited on signal 9/);
$nginx->start;
for my $round (1 .. 15) {
    $redis->flag(support => bundle_candidate => "round-$round" . 'x' x 100);
    wait_until(1, sub { rand() < 0.05 });
    my %old = map { $_ => 1 } $nginx->workers;
    kill 'KILL', keys %old;
    wait_until(10, sub {
        my @now = $nginx->workers;
        @now == 2 && !grep { $old{$_} } @now;
    });
    my ($text) = $nginx->test;
    like($text, qr/: 1 flags/, "killed $round times: the file is whole");
}

my @files = glob $story->dir . '/state/*';
ok(@files <= 5, 'few temporary files are left by killed workers')
    or diag("@files");

# as another user than the master, who is given the directory, and loses it
SKIP: {
    skip 'needs root', 6 if $> != 0;
    is($nginx->stop, 0, 'stop');
    $nginx->write_conf(user => 'nobody nogroup');
    $redis->flag(support => percent => 50, epoch => 4);
    $nginx->start;
    ok($nginx->wait_flag('support', epoch => 4) && saved(),
       'workers of another user: saved') or diag(explain($nginx->status));
    is((stat $path)[4], getpwnam('nobody'), 'as a file of that user');
    $story->arms_are($expected, 'routed');

    chown 0, 0, $story->dir . '/state';
    $redis->flag(support => epoch => 5);
    ok($nginx->wait_flag('support', epoch => 5), 'a change');
    ok(wait_until(10, sub { $nginx->status->{state_file}{failures} > 0 }),
       'a directory it may no longer write to: told');
}

$story->end;

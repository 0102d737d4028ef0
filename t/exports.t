#!/usr/bin/env perl

# nginx loads modules into one global namespace: a function that this module
# exports is one that another module may get instead of its own, and its
# hiredis must be nobody's but its own.  So the table of symbols is a contract.

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use Canary::Nginx;
use Canary::Util qw(command_output);

my $module = Canary::Nginx::module();


sub symbols {
    my (@options) = @_;
    my ($text, $status) = command_output('nm', '-D', @options, $module);
    is($status, 0, "nm -D @options") or diag($text);
    return sort map { (split)[-1] =~ s/\@.*//r } split /\n/, $text;
}


is(join(' ', symbols('--defined-only')),
   'ngx_module_names ngx_module_order ngx_modules',
   'the three symbols nginx looks for are defined, and nothing else');

my @foreign = grep { !/^(?:ngx_|json_|SSL|TLS|X509|ERR_|EVP_|HMAC|__|_ITM_)/ }
    symbols('--undefined-only');
is(join(' ', grep { /redis|sds|XXH/i } @foreign), '',
   'neither hiredis nor xxHash is taken from elsewhere');
is(join(' ', grep { /^(?:s?printf|vsprintf|strcpy|strcat|gets|system|popen)$/ }
             @foreign), '', 'none of the functions that overrun or execute');

my ($needed) = command_output('readelf', '-d', $module);
unlike($needed, qr/NEEDED.*(?:hiredis|xxhash)/, 'nor needed as a library');
like($needed, qr/BIND_NOW/, 'bound at once');

my ($stack) = command_output('readelf', '-lW', $module);
like($stack, qr/GNU_STACK\s.*RW /, 'no executable stack');
like($stack, qr/GNU_RELRO/, 'read-only relocations');

done_testing();

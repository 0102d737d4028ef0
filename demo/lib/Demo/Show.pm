package Demo::Show;

# What the demo looks like: colours on a terminal, plain text elsewhere, and
# never a line of more than 100 columns.

use strict;
use warnings;

use Exporter qw(import);
use List::Util qw(max min);

our @EXPORT_OK = qw(bar commas duration mark paint plus_minus say_line
                    wrapped);

my %code = (bold => 1, dim => 2, red => 31, green => 32, yellow => 33,
            cyan => 36);

my $colour = -t STDOUT && !length($ENV{NO_COLOR} // '')
    && ($ENV{TERM} // 'dumb') ne 'dumb';

# The first of these that is set decides about the alphabet.
my ($locale) = grep { length } map { $ENV{$_} // '' } qw(LC_ALL LC_CTYPE LANG);
my $utf8 = ($locale // '') =~ /utf-?8/i;

binmode STDOUT, ':encoding(UTF-8)' if $utf8;
STDOUT->autoflush(1);


sub paint {
    my ($style, $text) = @_;
    return $text if !$colour || !length $text;
    return join('', map { "\e[$code{$_}m" } split ' ', $style) . "$text\e[0m";
}


sub plus_minus { return $utf8 ? "\x{b1}" : '+-' }


sub say_line { print @_, "\n" }


sub commas {
    my ($n) = @_;
    1 while $n =~ s/^(\d+)(\d{3})/$1,$2/;
    return $n;
}


sub duration {
    my ($seconds) = @_;
    return 'never' if !defined $seconds;
    return sprintf '%.2f s', $seconds if $seconds >= 1;
    return sprintf $seconds < 0.1 ? '%.1f ms' : '%.0f ms', $seconds * 1000;
}


# As lines that begin with so many blanks.
sub wrapped {
    my ($indent, $text) = @_;
    my $width = 99 - $indent;
    my @lines = $text =~ /\G(.{1,$width})(?: +|$)/g;
    return map { ' ' x $indent . $_ } @lines;
}


# The share of the candidate: whoever is in shows, and so does everybody.
sub bar {
    my ($share, $width) = @_;
    my $full = int($share * $width + 0.5);
    $full = max($full, 1) if $share > 0;
    $full = min($full, $width - 1) if $share < 1;

    my ($in, $out) = $utf8 ? ("\x{2588}", "\x{2591}") : ('#', '.');
    return paint('yellow', $in x $full)
        . paint('dim', $out x ($width - $full));
}


sub mark {
    my ($fine) = @_;
    return $fine ? paint('green', $utf8 ? " \x{2713}" : 'ok')
                 : paint('bold red', $utf8 ? " \x{2717}" : 'NO');
}


1;

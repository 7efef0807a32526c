# Counts words and pairs of words, and prints the most frequent ones.
use strict;
use warnings;

my (%count, %pair);
while (my $line = <>) {
    my @words = map { lc } $line =~ /(\w+)/g;
    $count{$_}++ for @words;
    $pair{"$words[$_] $words[$_ + 1]"}++ for 0 .. $#words - 1;
}
for my $table (\%count, \%pair) {
    my @order = sort { $table->{$b} <=> $table->{$a} || $a cmp $b } keys %$table;
    printf "%d different\n", scalar @order;
    printf "%7d %s\n", $table->{$_}, $_ for @order[0 .. 199];
}

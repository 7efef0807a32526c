# Hashes of arrays, string building, splitting and sorting. Argument: ROUNDS
use strict;
use warnings;

my $rounds = shift @ARGV;
my $state  = 7;
my %index;
my $total = 0;

sub draw {
    my ($bound) = @_;
    $state = ( $state * 1103515245 + 12345 ) & 0x7fffffff;
    return int( $state / 65536 ) % $bound;
}

for my $round ( 1 .. $rounds ) {
    my $line  = join ' ', map { 'w' . draw(4000) . 'z' x draw(12) } 1 .. 200;
    my @parts = sort split / /, $line;
    for my $i ( 0 .. $#parts ) {
        push @{ $index{ $parts[$i] } }, [ $round, $i ];
    }
    if ( $round % 10 == 0 ) {
        for my $word (@parts) {
            my $gone = delete $index{$word};
            $total += scalar @{$gone} if $gone;
        }
    }
    ( my $text = $line ) =~ s/(\d+)/<$1>/g;
    $total += length $text;
}
printf "checksum %d %d\n", $total, scalar keys %index;

# Strings, hashes and nested structures; prints checksums. Needs no module, so perl-base is enough.
# An argument N asks for an Nth of the work.
use strict;
use warnings;

my $part = shift // 1;

my $state = 12345;
sub rnd { $state = ($state * 1103515245 + 12345) & 0x7fffffff; return ($state >> 8) % $_[0]; }
sub word { return join '', map { chr(97 + rnd(26)) } 1 .. 1 + rnd(12); }
sub sum { my $s = 0; $s = ($s * 31 + unpack('%32C*', $_)) % 4294967291 for @_; return $s; }

my %index;
push @{ $index{ word() } }, $_ for 1 .. 300_000 / $part;
my @keys = sort keys %index;
print "index ", scalar(@keys), " ", sum(map { "$_:@{ $index{$_} }" } @keys), "\n";

my @longest = sort { length($b) <=> length($a) or $a cmp $b } @keys;
print "longest ", sum(@longest[ 0 .. 9999 ]), "\n";
delete @index{ grep { length($_) > 6 } @keys };
print "left ", scalar(keys %index), "\n";

my $text = join ' ', map { word() } 1 .. 150_000 / $part;
for my $round (1 .. 3) {
  my $count = ($text =~ s/([aeiou])([^aeiou ]+)/<$2$1>/g);
  $text =~ tr/<>//d;
  print "text $round $count ", length($text), " ", sum(split / /, $text), "\n";
}

my @tree;
for my $i (1 .. 60_000 / $part) {
  my $node = { id => $i, name => word(), kids => [] };
  push @{ $tree[ rnd(scalar @tree) ]{kids} }, $node if @tree;
  push @tree, $node;
}
sub depth { my $d = 0; for (@{ $_[0]{kids} }) { my $k = 1 + depth($_); $d = $k if $k > $d; } return $d; }
print "tree ", depth($tree[0]), " ", sum(map { "$_->{name}" . @{ $_->{kids} } } @tree), "\n";

my @buffers = ('') x 100;
for (1 .. 200_000 / $part) {
  my $i = rnd(100);
  $buffers[$i] .= 'x' x rnd(200);
  $buffers[$i] = '' if length($buffers[$i]) > 100_000;
}
print "buffers ", sum(@buffers), "\n";

# What the benchmarks and the gate reckon with jq: include "stats" {"search": "scripts"}, from the top
# of the tree.
def median: sort | length as $n | (.[($n - 1) / 2 | floor] + .[$n / 2 | floor]) / 2;
def geomean: map(log) | add / length | exp;

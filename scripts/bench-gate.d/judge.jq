# SPDX-License-Identifier: Apache-2.0
# What a result of scripts/bench-gate is worth beside the baseline: a row a figure, in an array.
# A figure is worse when even its low end, the best that was seen, is beyond the tolerance, and
# better when even its high end is: noise alone does neither. For figures where more is better, the
# other way round.
#
# $baseline: tests/bench/baseline.json. Input: {tiers: {TIER: KERNEL}, figures: {FIGURE: {TIER:
# {value, low, high}}}}. $parts: the tier of each part that is judged, {host: TIER, linux: TIER}.

# What the value may be off: the larger of what the tolerance allows.
def allowed($value):
    [.percent // 0 | . / 100 * ($value | fabs)] + [.absolute // 0] | max;

def verdict($figure; $base; $seen):
    ($figure.tolerance | allowed($base)) as $slack |
    (if $figure.better == "higher" then -1 else 1 end) as $sign |
    ([$seen.low, $seen.high] | map(. * $sign) | sort) as [$best, $worst] |
    if $best > $base * $sign + $slack then "worse"
    elif $worst < $base * $sign - $slack then "better"
    else "ok" end;

# Whether the figure's recorded value is of a host like this one.
def comparable($figure; $tier; $kernel):
    if $figure.value[$tier] == null then "no baseline for \($tier)"
    elif $figure.of_kernel and $figure.value[$tier].kernel != $kernel then
        "recorded with Linux \($figure.value[$tier].kernel), not \($kernel)"
    else null end;

. as $result |
[$baseline.figures | to_entries[] | .key as $key | .value as $figure |
    $parts[$figure.part] as $tier |
    select($tier) |
    $result.figures[$key][$tier] as $seen |
    comparable($figure; $tier; $result.tiers[$tier]) as $why |
    {figure: $key, tier: $tier, unit: $figure.unit, tolerance: $figure.tolerance, why: $figure.why,
     baseline: $figure.value[$tier].value, now: $seen.value, low: $seen.low, high: $seen.high,
     verdict: (if $seen == null then "missing" elif $why then "unknown"
               else verdict($figure; $figure.value[$tier].value; $seen) end)} +
    if $why then {note: $why} else {} end] +
[$result.figures | to_entries[] | select($baseline.figures[.key] == null) |
    .key as $key | .value | to_entries[] |
    {figure: $key, tier: .key, unit: "", baseline: null, now: .value.value, low: .value.low,
     high: .value.high, verdict: "unknown", note: "not in the baseline"}]

# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the parts of `scripts/bench` share. A part is a program scripts/bench.d/PART. scripts/bench
# starts it where its guests can run; it measures and leaves build/bench/raw/PART.json, which
# build/bench-report reads. Two lines of its head are for scripts/bench:
#
#   # needs: kvm       any /dev/kvm (freestanding guests); `linux`: one that runs Linux guests;
#                      `nothing`: no KVM at all
#   # gives: KEY...    its keys in results.json: not measured where the part fails
#
# BENCH_N is how many rounds were asked for, BENCH_QUICK is 1 for few; both may be empty.
# A part looks so:
#
#   . "${BASH_SOURCE%/*}/lib.sh"
#   n=$(rounds 200 20)
#   build/bench-series "$n" thaw kvm_run ... -- floor kvm_run ... >"$work/runs"
#   {
#       series thaw_load "thaw restore" load ms < <(samples thaw kvm_run <"$work/runs")
#       ratio load_over_floor "load, thaw to floor" thaw_load floor_load 1.15
#   } | finish "Load: spawn to KVM_RUN" warm
#
# Each of the functions prints a fragment of the part's object; finish puts them together.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly part=${0##*/}
readonly raw=build/bench/raw
work=$(mktemp -d "${TMPDIR:-/tmp}/bench-$part.XXXXXX")
readonly work
trap 'rm -rf "$work"' EXIT
mkdir -p "$raw"

# Its own copy of the monitor, in the page cache: a build beside it changes nothing.
readonly thaw=$work/thaw
cp "${THAW:-build/thaw}" "$thaw"

die() { printf 'bench: %s: %s\n' "$part" "$*" >&2; exit 1; }
say() { printf 'bench: %s: %s\n' "$part" "$*" >&2; }

# rounds FULL QUICK: how many this time.
rounds() { echo "${BENCH_N:-$([ -n "${BENCH_QUICK-}" ] && echo "$2" || echo "$1")}"; }

# again COMMAND...: emulated hosts lose a guest now and then, of either monitor: up to three tries.
again() { "$@" || "$@" || "$@"; }

# ---- the host ---------------------------------------------------------------------------------

# The file's first line, or what else to say.
fact() { local line; read -r line 2>/dev/null <"$1" && echo "$line" || echo "$2"; }

# Each kind of cgroup that is mounted, with its flags (favordynmods is one that matters).
cgroup_flags() {
    awk '$3 ~ /^cgroup/ { flags[$3] = $4 } END { for (kind in flags) print kind " " flags[kind] }' \
        /proc/mounts | sort | paste -sd ';'
}

tier() {
    if [ -n "${THAW_NESTED-}" ]; then echo rig; else scripts/host-kind; fi
}

# host PAGE_CACHE (warm or cold, as the part arranges it): what the figures depend on.
host() {
    local thp
    thp=$(fact /sys/kernel/mm/transparent_hugepage/enabled unknown)
    jq -n --arg tier "$(tier)" --arg kernel "$(uname -r)" --arg page_cache "$1" \
        --arg cpu "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)" \
        --argjson cpus "$(nproc)" --argjson load "$(cut -d' ' -f1 /proc/loadavg)" \
        --arg governor "$(fact /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor none)" \
        --arg nx "$(fact /sys/module/kvm/parameters/nx_huge_pages unknown)" \
        --arg cgroup "$(cgroup_flags)" \
        --arg thp "$(grep -o '\[[a-z]*\]' <<<"$thp" | tr -d '[]' || echo "$thp")" \
        --arg date "$(date -u +%FT%TZ)" \
        '{tier: $tier, kernel: $kernel, cpu: $cpu, cpus: $cpus, load: $load, governor: $governor,
          nx_huge_pages: $nx, cgroup: (if $cgroup == "" then "none" else $cgroup end),
          transparent_hugepage: $thp, page_cache: $page_cache, date: $date}'
}

# ---- fragments --------------------------------------------------------------------------------

# samples NAME MOMENT < what bench-series printed: the numbers, one a line.
samples() { awk -v name="$1" -v moment="$2" '$1 == name && $2 == moment { print $3 }'; }

# reports NAME < what bench-series printed: the JSON objects, one a line.
reports() { sed -n "s/^$1 json //p"; }

# series ID NAME WHAT UNIT [lower|higher] < numbers, one a line. Sample i of all series of the same
# interleaved rounds belongs together.
series() {
    jq -s --arg id "$1" --arg name "$2" --arg what "$3" --arg unit "$4" --arg better "${5:-lower}" \
        '{series: (if length == 0 then [] else
            [{id: $id, name: $name, what: $what, unit: $unit, better: $better, samples: .}] end)}'
}

# ratio KEY NAME SERIES SERIES [GOAL]: of the medians of two series.
ratio() {
    jq -n --arg key "$1" --arg name "$2" --arg a "$3" --arg b "$4" --argjson goal "${5:-null}" \
        '{ratios: [{key: $key, name: $name, of: [$a, $b]} +
            if $goal then {goal: $goal} else {} end]}'
}

# number KEY NAME VALUE UNIT [GOAL]
number() {
    jq -n --arg key "$1" --arg name "$2" --argjson value "$3" --arg unit "$4" \
        --argjson goal "${5:-null}" \
        '{numbers: [{key: $key, name: $name, value: $value, unit: $unit} +
            if $goal then {goal: $goal} else {} end]}'
}

# missing KEY WHY
missing() { jq -n --arg key "$1" --arg why "$2" '{missing: [{key: $key, why: $why}]}'; }

# largest, percentile P (nearest rank), median < numbers, one a line; `null` of none.
largest() { jq -s max; }
percentile() { jq -s --argjson p "$1" 'sort | .[([(length * $p / 100 | ceil) - 1, 0] | max)]'; }
median() {
    jq -s 'sort | length as $n | if $n == 0 then null
        else (.[($n - 1) / 2 | floor] + .[$n / 2 | floor]) / 2 end'
}

# What bench-clones printed: clone_column N; lost_clones; clone_mappings TITLE COUNT.
clone_column() { awk -v number="$1" '$1 == "clone" && $number > 0 { print $number }'; }
lost_clones() { sed -n 's/^lost/lost:/p' | sort | uniq -c >&2; }
clone_mappings() {
    awk -v of="$2" '$1 == "map" { kib[$2] += $3 }
        END { for (name in kib) printf "%s\t%.1f\n", name, kib[name] / of }' |
        jq -R 'split("\t") | {name: .[0], value: (.[1] | tonumber)}' |
        jq -s --arg title "$1" 'sort_by(-.value) | .[:7] + (.[7:] | if length == 0 then [] else
                [{name: "others", value: (map(.value) | add)}] end) |
            {stacks: [{title: $title, unit: "KiB", bars: [{name: "a clone", phases: .}]}]}'
}

# load_stack TITLE < reports of `thaw restore`: the phases of its load, medians.
load_stack() {
    jq -s --arg title "$1" '
        include "stats" {"search": "scripts"};
        map(.restore) as $runs | ($runs[0].load_phases_ms | keys_unsorted) as $names |
        [$names[] as $name | {name: $name, value: ([$runs[].load_phases_ms[$name]] | median)}]
            as $phases |
        ([$runs[].load_ms] | median) as $load |
        {stacks: [{title: $title, unit: "ms", bars: [{name: "thaw restore", phases: ($phases +
            [{name: "the rest", value: ([$load - ([$phases[].value] | add), 0] | max)}])}]}]}'
}

# finish TITLE PAGE_CACHE < fragments: lists of the same name are joined. The result appears in one
# piece, so that what is there is whole.
finish() {
    jq -s --arg part "$part" --arg title "$1" --argjson host "$(host "$2")" \
        'reduce .[] as $fragment ({part: $part, title: $title, host: $host};
            reduce ($fragment | to_entries[]) as $e (.; .[$e.key] += $e.value))' \
        >"$work/result.json"
    cp "$work/result.json" "$raw/.$part.json"
    mv "$raw/.$part.json" "$raw/$part.json"
}

# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the four scaling curves share: the guest of tests/guests/scale.S, and straight lines.
# shellcheck source=scripts/bench.d/lib.sh
. "${BASH_SOURCE%/*}/lib.sh"

readonly guest=build/guests/scale.elf
readonly page=4096

# bake_scale DIRECTORY MEMORY_MIB DIRTY_PAGES [OPTION...]: a snapshot of a guest that has made so
# many pages dirty. It waits for poke_scale.
bake_scale() {
    timeout 60 "$thaw" run --kernel "$guest" --memory "$2M" --cmdline-extra "dirty=$3" \
        --snapshot-at-heartbeat 1 --snapshot-out "$1" "${@:4}" </dev/null 2>"$work/bake" ||
        die "no snapshot: $(cat "$work/bake")"
}

# Numbers as the four bytes of each, in the order of x86.
words() {
    local word
    for word; do
        # shellcheck disable=SC2059 # the format is the bytes
        printf "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' $((word & 255)) $((word >> 8 & 255)) \
            $((word >> 16 & 255)) $((word >> 24 & 255)))"
    done
}

# poke_scale DIRECTORY GO WANTED [PASSES [STRIDE_BYTES]]: what its clones do at once; see the guest.
poke_scale() {
    words "$2" "$3" "${4:-1}" "${5:-$page}" |
        dd of="$1/memory" bs=1 seek=$((0x200010)) conv=notrunc status=none
}

# To be put before a jq program. A line is [[x, y], ...].
# shellcheck disable=SC2016,SC2034 # for jq; used by those who read this file
readonly lines='
    include "stats" {"search": "scripts"};
    def p95: sort | .[[(length * 0.95 | ceil) - 1, 0] | max];
    def mean: add / length;
    # The straight line nearest to the points, by least squares.
    def fit: (map(.[0]) | mean) as $x | (map(.[1]) | mean) as $y |
        ((map((.[0] - $x) * (.[1] - $y)) | add) / (map((.[0] - $x) * (.[0] - $x)) | add)) as $b |
        {a: ($y - $b * $x), b: $b};
    # To three digits that mean something.
    def r: if . == 0 then 0 else
        pow(10; 2 - (fabs | log10 | floor)) as $s | . * $s | round / $s end;
'

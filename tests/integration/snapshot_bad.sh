# SPDX-License-Identifier: Apache-2.0
# Snapshots that are damaged, foreign or forged, and bakes that come to nothing: one line, a status of
# its own, no guest that runs, nothing left behind. Freestanding guests on any /dev/kvm.

# bake [GUEST [OPTION...]]: a snapshot in $work/good.
bake() {
    run_thaw run --kernel "$build/guests/${1:-later}.elf" --memory 32M --snapshot-after-ms 60 \
        --snapshot-out "$work/good" "${@:2}"
    expect_status 0
}

# A copy of it, $work/bad, to be damaged.
copy() {
    rm -rf "$work/bad"
    cp -a --sparse=always "$work/good" "$work/bad"
}

edit() {
    "$build/edit-state" "$work/bad/state" "$@" 2>"$work/err" || fail "edit-state"
}

# expect_refusal STATUS NAME [TEXT]: one line, with its name and that status.
expect_refusal() {
    expect_status "$1"
    [ "$(wc -l <"$work/err")" -eq 1 ] || fail "stderr is not one line"
    grep -q "^thaw: .*: .* \[$2\]$" "$work/err" || fail "the failure is not [$2]"
    [ $# -lt 3 ] || expect_err_has "$3"
}

# refused STATUS NAME [TEXT]: whatever is done with $work/bad. No guest has said anything.
refused() {
    run_thaw restore "$work/bad"
    expect_refusal "$@"
    expect_out ""
    run_thaw snapshot verify "$work/bad"
    expect_refusal "$@"
    expect_out ""
    run_thaw snapshot inspect "$work/bad"
    expect_refusal "$@"
}

# It can be restored, and the guest goes on to its end.
accepted() {
    run_thaw restore "$work/bad"
    expect_status 7
    expect_out_has "goes on"
    run_thaw snapshot verify "$work/bad"
    expect_status 0
    run_thaw snapshot inspect "$work/bad"
    expect_status 0
}

nothing_is_left_in() {
    [ -z "$(ls -A "$1")" ] || fail "left behind: $(ls -A "$1")"
}

# ---- the file state ---------------------------------------------------------------------------

test_a_snapshot_of_another_architecture_is_refused_and_described() {
    bake && copy
    edit header arch 0xaa64
    refused 21 snapshot-arch
    expect_out_has "aarch64"
    copy
    edit header page_size 16384
    refused 21 snapshot-arch 16384
}

test_a_newer_major_format_is_refused_and_described() {
    bake && copy
    edit header major 2 header minor 3
    refused 22 snapshot-version "format 2.3"
    expect_out_has "format      2.3, x86_64"
    run_thaw snapshot inspect "$work/bad" --json
    expect_status 22
    jq -e '.header.major == 2 and .header.minor == 3' "$work/out" >/dev/null || fail "the JSON"
    edit_refuses_nothing_else
}

# The version is what is wrong: with the right one it is the snapshot that it was.
edit_refuses_nothing_else() {
    copy
    edit header major 1 header minor 0
    cmp "$work/good/state" "$work/bad/state" || fail "edit-state makes another file"
}

test_a_newer_minor_format_is_accepted() {
    bake && copy
    edit header minor 7
    accepted
}

test_an_unknown_section_is_skipped_and_a_critical_one_refused_by_number() {
    bake && copy
    edit add 4000 0
    accepted
    copy
    edit add 4000 1
    refused 20 snapshot-invalid "section type 4000"
}

test_a_section_that_is_missing_or_too_short_is_named() {
    bake
    local section
    for section in "meta 0" "memory-map 0"; do
        copy
        # shellcheck disable=SC2086 # name and index
        edit remove $section
        refused 20 snapshot-invalid "section $section is missing"
    done
    for section in "cpuid 0" "vcpu 0" "vm 0" "serial 0" "serial 1"; do
        copy
        # shellcheck disable=SC2086
        edit remove $section
        run_thaw restore "$work/bad"
        expect_refusal 20 snapshot-invalid "section $section is missing"
        copy
        # shellcheck disable=SC2086
        edit cut $section 3
        run_thaw restore "$work/bad"
        expect_refusal 20 snapshot-invalid "${section}"
    done
}

test_a_description_that_makes_no_machine_is_refused() {
    bake
    local old new
    while IFS='|' read -r old new; do
        copy
        edit text "$old" "$new"
        refused 20 snapshot-invalid
    done <<'END'
"cpus": 1|"cpus": 0
"cpus": 1|"cpus": 9
"cpus": 1|"cpus": -1
"cpus": 1|"cpus": "1"
"cpus": 1|"cpus": 1.5
"cpus": 1|"cpus": []
"cpus"|"xpus"
{|[
}|]
33554432|33554433
33554432|67108864
33554432|18446744073709551615
33554432|0
"disks": []|"disks": [{}]
"disks": []|"disks": 1
"nets": []|"nets": [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]
"machine"|"engine"
"entrypoint": []|"entrypoint": [1]
END
    copy
    edit cut meta 0 0
    refused 20 snapshot-invalid
    # More vCPUs than there is state for.
    copy
    edit text '"cpus": 1' '"cpus": 2'
    run_thaw restore "$work/bad"
    expect_refusal 20 snapshot-invalid "section cpuid 1 is missing"
}

test_a_state_that_was_truncated_anywhere_is_refused() {
    bake && copy
    local size at
    size=$(stat -c %s "$work/good/state")
    for at in 0 1 7 8 39 63 64 65 103 104 300 4096 $((size / 2)) $((size - 8)) $((size - 1)); do
        cp "$work/good/state" "$work/bad/state"
        truncate -s "$at" "$work/bad/state"
        refused 25 snapshot-short "state: $at bytes"
    done
    cp "$work/good/state" "$work/bad/state"
    printf x >>"$work/bad/state"
    refused 20 snapshot-invalid "1 bytes behind its end"
    printf 'not a snapshot at all, but longer than the header of one is supposed to be' >"$work/bad/state"
    refused 20 snapshot-invalid "not a snapshot"
    truncate -s 65M "$work/bad/state"
    refused 20 snapshot-invalid "larger than"
}

test_a_state_of_another_snapshot_does_not_get_its_memory() {
    bake
    mv "$work/good" "$work/other"
    bake touch
    copy
    cp "$work/other/state" "$work/bad/state"
    refused 20 snapshot-invalid memory.idx
    copy
    cp "$work/other/memory.idx" "$work/bad/memory.idx"
    refused 20 snapshot-invalid memory.idx
    copy
    cp "$work/other/memory" "$work/bad/memory"
    run_thaw snapshot verify "$work/bad"
    expect_refusal 20 snapshot-invalid
    run_thaw restore --verify "$work/bad"
    expect_refusal 20 snapshot-invalid
    expect_out ""
}

test_what_is_no_directory_or_none_of_ours_is_refused() {
    mkdir "$work/bad"
    refused 24 snapshot-missing state
    rmdir "$work/bad"
    refused 24 snapshot-missing
    : >"$work/bad"
    refused 20 snapshot-invalid "not a directory"
}

test_a_snapshot_of_a_forged_one_can_be_read() {
    bake spin && copy
    edit text '"generation": 1' '"generation": 2147483647'
    run_thaw restore "$work/bad" --snapshot-after-ms 20 --snapshot-out "$work/next"
    expect_status 0
    run_thaw snapshot verify "$work/next"
    expect_status 0
}

# ---- the processor ----------------------------------------------------------------------------

# The host's number is not this one's, so that the processor is looked at.
ELSEWHERE="patch vm 0 8 0102030405060708"

test_a_snapshot_that_needs_another_processor_is_refused() {
    bake && copy
    # shellcheck disable=SC2086 # words
    edit $ELSEWHERE
    accepted
    # shellcheck disable=SC2086
    edit $ELSEWHERE cpuid 0 1 0x20202020 cpuid 0 2 0x20202020
    run_thaw restore "$work/bad"
    expect_refusal 23 snapshot-cpu "made on a processor by"
    expect_out ""
    copy
    # shellcheck disable=SC2086
    edit $ELSEWHERE cpuid 7 2 0x8000
    run_thaw restore "$work/bad"
    expect_refusal 23 snapshot-cpu "CPUID leaf 0x7.0 ECX"
    copy
    edit patch vcpu 0 -16 78563412
    run_thaw restore "$work/bad"
    expect_refusal 23 snapshot-cpu "MSR 0x12345678"
    # It can be looked at on this host all the same.
    run_thaw snapshot verify "$work/bad"
    expect_status 0
    run_thaw snapshot inspect "$work/bad"
    expect_status 0
}

# ---- the other files --------------------------------------------------------------------------

test_a_file_that_is_missing_is_named() {
    bake
    local file
    for file in state memory memory.idx; do
        copy
        rm "$work/bad/$file"
        refused 24 snapshot-missing "$file"
    done
}

test_memory_of_another_length_is_refused() {
    bake && copy
    truncate -s -1 "$work/bad/memory"
    refused 25 snapshot-short memory
    truncate -s 0 "$work/bad/memory"
    refused 25 snapshot-short memory
    truncate -s $((32 * 1024 * 1024 + 4096)) "$work/bad/memory"
    refused 20 snapshot-invalid memory
    copy
    truncate -s -1 "$work/bad/memory.idx"
    refused 25 snapshot-short memory.idx
    copy
    printf x >>"$work/bad/memory.idx"
    refused 20 snapshot-invalid memory.idx
}

test_links_and_special_files_are_not_followed() {
    bake && copy
    ln -s good "$work/link"
    mv "$work/bad" "$work/bad.dir" && ln -s bad.dir "$work/bad"
    refused 26 snapshot-link
    run_thaw restore "$work/bad/"
    expect_refusal 26 snapshot-link
    rm "$work/bad"
    local file
    for file in state memory memory.idx; do
        copy
        ln -sf "$work/good/$file" "$work/bad/$file"
        refused 26 snapshot-link "$file"
        rm "$work/bad/$file"
        mkfifo "$work/bad/$file"
        refused 26 snapshot-link "$file"
        rm "$work/bad/$file"
        mkdir "$work/bad/$file"
        refused 26 snapshot-link "$file"
        rmdir "$work/bad/$file"
        # Where devices can be made.
        if mknod "$work/bad/$file" c 1 5 2>"$work/mknod"; then
            refused 26 snapshot-link "$file"
        fi
    done
}

test_a_working_set_of_another_snapshot_or_a_damaged_one_is_refused() {
    bake
    run_thaw snapshot record-workingset "$work/good"
    expect_status 0
    mv "$work/good" "$work/other"
    bake && copy
    cp "$work/other/workingset" "$work/bad/workingset"
    refused 20 snapshot-invalid workingset
    rm -rf "$work/good" && mv "$work/other" "$work/good"
    copy
    truncate -s -1 "$work/bad/workingset"
    refused 25 snapshot-short workingset
    copy
    ln -sf ../good/workingset "$work/bad/workingset"
    refused 26 snapshot-link workingset
    # Its pages are read only where they are needed; then they are checked.
    copy
    printf '\x5a' | dd of="$work/bad/workingset" bs=1 seek=4100 conv=notrunc status=none
    run_thaw snapshot verify "$work/bad"
    expect_refusal 20 snapshot-invalid workingset
    run_thaw restore --memory prefetch "$work/bad"
    expect_refusal 20 snapshot-invalid workingset
    expect_out ""
}

test_packed_memory_that_is_damaged_is_refused() {
    bake
    mv "$work/good" "$work/raw"
    run_thaw snapshot pack "$work/raw" "$work/good"
    expect_status 0
    copy
    accepted
    rm "$work/bad/memory.zst"
    refused 24 snapshot-missing memory
    ln -s "$work/good/memory.zst" "$work/bad/memory.zst"
    refused 26 snapshot-link memory.zst
    copy
    truncate -s -1 "$work/bad/memory.zst"
    refused 20 snapshot-invalid memory.zst
    truncate -s 5 "$work/bad/memory.zst"
    refused 25 snapshot-short memory.zst
    # A frame: it is read, and found, before the guest runs.
    copy
    printf '\x5a\xa5\x5a' | dd of="$work/bad/memory.zst" bs=1 seek=40 conv=notrunc status=none
    run_thaw snapshot inspect "$work/bad"
    expect_status 0
    run_thaw snapshot verify "$work/bad"
    expect_refusal 20 snapshot-invalid memory.zst
    run_thaw restore "$work/bad"
    expect_refusal 20 snapshot-invalid memory.zst
    expect_out ""
}

test_a_stream_that_stops_or_is_damaged_is_refused() {
    bake
    "$build/thaw" snapshot pack "$work/good" - >"$work/stream"
    cp "$work/stream" "$work/in"
    run_thaw restore -
    expect_status 7
    local size at
    size=$(stat -c %s "$work/stream")
    for at in 0 1 63 64 1000 $((size - 4000)) $((size - 25)) $((size - 1)); do
        head -c "$at" "$work/stream" >"$work/in"
        run_thaw restore -
        expect_refusal 25 snapshot-short
        expect_out ""
        run_thaw snapshot unpack - "$work/into"
        expect_refusal 25 snapshot-short
        [ ! -e "$work/into" ] || fail "half a snapshot was unpacked"
    done
    for at in 3 200 $((size - 4000)) $((size - 3)); do
        cp "$work/stream" "$work/in"
        printf '\x5a\xa5' | dd of="$work/in" bs=1 seek="$at" conv=notrunc status=none
        run_thaw restore -
        expect_refusal 20 snapshot-invalid
        expect_out ""
    done
    [ -z "$(find "$work" -name '.thaw-*')" ] || fail "left behind: $(find "$work" -name '.thaw-*')"
}

# The writer is there and says no more. A disk makes the reader keep something in TMPDIR meanwhile.
test_waiting_for_the_rest_of_a_stream_ends_with_a_signal() {
    truncate -s 1M "$work/disk"
    bake later --disk "$work/disk"
    "$build/thaw" snapshot pack "$work/good" - >"$work/stream"
    mkdir "$work/tmp"
    mkfifo "$work/fifo"
    TMPDIR=$work/tmp timeout -k 5 60 "$build/thaw" restore - <"$work/fifo" >"$work/out" 2>"$work/err" &
    local pid=$!
    exec 8>"$work/fifo"
    head -c $(($(stat -c %s "$work/stream") - 25)) "$work/stream" >&8
    await eval '[ -n "$(ls -A "$work/tmp")" ]' # it is being read
    kill -TERM "$pid"
    status=0
    wait "$pid" || status=$?
    expect_refusal 125 interrupted
    expect_out ""
    nothing_is_left_in "$work/tmp"
}

test_a_disk_that_is_not_the_one_it_was_is_refused() {
    truncate -s 1M "$work/disk" "$work/base"
    printf one | dd of="$work/base" bs=1 seek=5000 conv=notrunc status=none
    printf two | dd of="$work/disk" bs=1 seek=9000 conv=notrunc status=none
    bake later --disk "$work/disk" --disk "$work/base,ro" --vsock "$work/vsock"
    copy
    accepted
    # The image elsewhere, or another one in its place, or none.
    cp "$work/base" "$work/same"
    head -c 1M /dev/urandom >"$work/other"
    edit text "$work/base" "$work/same"
    accepted
    copy
    edit text "$work/base" "$work/other"
    run_thaw restore "$work/bad"
    expect_refusal 27 snapshot-disk other
    edit text "$work/other" /etc/passwd
    run_thaw restore "$work/bad"
    expect_refusal 27 snapshot-disk /etc/passwd
    edit text /etc/passwd "$work/nowhere"
    run_thaw restore "$work/bad"
    expect_refusal 27 snapshot-disk nowhere
    # The content of a disk that can be written is the snapshot's own.
    copy
    rm "$work/bad/disk-0"
    run_thaw restore "$work/bad"
    expect_refusal 24 snapshot-missing disk-0
    ln -s ../good/disk-0 "$work/bad/disk-0"
    run_thaw restore "$work/bad"
    expect_refusal 26 snapshot-link disk-0
    copy
    truncate -s -512 "$work/bad/disk-0"
    run_thaw restore "$work/bad"
    expect_refusal 25 snapshot-short disk-0
    copy
    printf x | dd of="$work/bad/disk-0" bs=1 seek=500000 conv=notrunc status=none
    run_thaw snapshot verify "$work/bad"
    expect_refusal 20 snapshot-invalid disk-0
    # As many devices as the description has, and of these kinds.
    copy
    edit remove virtio 2
    run_thaw restore "$work/bad"
    expect_refusal 20 snapshot-invalid "virtio 2"
    copy
    edit cut virtio 1 8
    run_thaw restore "$work/bad"
    expect_refusal 20 snapshot-invalid "virtio 1"
}

# In the half second in which the guest has filled its pages and not begun to read them: what is filled
# after a restore is the clone's own, and not in the file.
bake_filled() {
    run_thaw run --kernel "$build/guests/touch.elf" --memory 32M --snapshot-after-ms 250 \
        --snapshot-out "$work/good"
    expect_status 0
    expect_out filled
}

test_memory_that_is_truncated_under_a_guest_ends_it_with_one_line() {
    bake_filled
    run_thaw restore "$work/good"
    expect_status 6
    local size pid
    for size in 4194304 0; do # some data of the guest, and all with its code
        copy
        rm -f "$work/out" # what the last one said must not be waited for
        timeout -k 5 60 "$build/thaw" restore "$work/bad" </dev/null >"$work/out" 2>"$work/err" &
        pid=$!
        wait_for "$work/out" reads
        truncate -s "$size" "$work/bad/memory"
        status=0
        wait "$pid" || status=$?
        expect_refusal 125 snapshot-short "truncated while it was in use"
    done
}

test_memory_that_is_truncated_under_a_recording_leaves_no_working_set() {
    bake_filled
    rm -f "$work/out"
    timeout -k 5 60 "$build/thaw" snapshot record-workingset "$work/good" </dev/null >"$work/out" 2>"$work/err" &
    local pid=$!
    wait_for "$work/out" reads
    truncate -s 4194304 "$work/good/memory"
    status=0
    wait "$pid" || status=$?
    expect_refusal 25 snapshot-short "truncated while it was in use"
    [ ! -e "$work/good/workingset" ] || fail "a working set was written"
}

test_flipped_bits_are_found() {
    truncate -s 1M "$work/disk" "$work/base"
    bake later --disk "$work/disk" --disk "$work/base,ro" --vsock "$work/vsock" --balloon 4M
    run_thaw snapshot record-workingset "$work/good"
    expect_status 0
    status=0
    timeout -k 5 180 "$build/flip-bits" "$work/good" 10000 300 >"$work/out" 2>"$work/err" || status=$?
    expect_status 0
    cat "$work/out"
}

# ---- bakes that come to nothing ---------------------------------------------------------------

# fails STATUS NAME GUEST OPTION...: a bake, and nothing is there afterwards.
fails() {
    mkdir -p "$work/into"
    run_thaw run --kernel "$build/guests/$3.elf" --memory 32M --snapshot-out "$work/into/s" "${@:4}"
    expect_status "$1"
    [ "$(grep -c '^thaw: ' "$work/err")" -eq 1 ] || fail "stderr does not have one thaw: line"
    grep -q "^thaw: .*: .* \[$2\]$" "$work/err" || fail "the failure is not [$2]"
    nothing_is_left_in "$work/into"
}

test_a_guest_that_never_gets_ready_is_not_frozen() {
    fails 28 guest-not-ready spin --snapshot-at-heartbeat 1 --snapshot-after-ms 200
    fails 28 guest-not-ready spin --snapshot-at-heartbeat 1 --timeout 0.3
    run_thaw run --kernel "$build/guests/spin.elf" --memory 32M --snapshot-at-heartbeat 1 \
        --snapshot-after-ms 200 --snapshot-anyway --snapshot-out "$work/good"
    expect_status 0
    run_thaw snapshot verify "$work/good"
    expect_status 0
}

test_a_guest_that_ends_before_the_trigger_is_not_frozen() {
    fails 29 guest-ended hello --snapshot-after-ms 50000
    fails 29 guest-ended hello --snapshot-at-heartbeat 1
    fails 29 guest-ended triple-fault --snapshot-after-ms 50000
    fails 29 guest-ended panic --snapshot-after-ms 50000
}

test_a_guest_that_is_never_quiet_is_not_frozen() {
    fails 30 guest-not-quiet noisy --snapshot-after-ms 50
    fails 30 guest-not-quiet spin --snapshot-after-ms 50 --snapshot-quiesce-ms 10
}

bakes() {
    has_vcpu "$(pgrep -f "$1")"
}

# Without this the guest would be looked at for an hour.
test_waiting_for_a_quiet_guest_ends_with_a_signal_or_the_timeout() {
    local forever=(--snapshot-after-ms 50 --snapshot-quiesce-ms 3600000)
    fails 28 guest-not-ready spin "${forever[@]}" --timeout 0.5
    run_thaw run --kernel "$build/guests/spin.elf" --memory 32M --snapshot-out "$work/into/s" \
        "${forever[@]}" &
    await bakes "^$build/thaw run .*--snapshot-out $work/into/s"
    pkill -TERM -f "thaw run .*--snapshot-out $work/into/s"
    wait
    grep -q "no snapshot was taken \[interrupted\]$" "$work/err" || fail "$(cat "$work/err")"
    nothing_is_left_in "$work/into"
}

test_a_target_that_is_no_snapshot_is_left_as_it_is() {
    mkdir "$work/into" "$work/into/s"
    echo precious >"$work/into/s/file"
    run_thaw run --kernel "$build/guests/later.elf" -m 32M --snapshot-after-ms 30 --snapshot-out "$work/into/s"
    expect_refusal 2 usage
    bake
    mv "$work/good"/* "$work/into/s"
    run_thaw run --kernel "$build/guests/later.elf" -m 32M --snapshot-after-ms 30 --snapshot-out "$work/into/s"
    expect_refusal 2 usage "holds 'file' beside a snapshot"
    [ "$(cat "$work/into/s/file")" = precious ] || fail "the file in it has changed"
    rm -r "$work/into/s"
    echo precious >"$work/into/s"
    run_thaw run --kernel "$build/guests/later.elf" -m 32M --snapshot-after-ms 30 --snapshot-out "$work/into/s"
    expect_refusal 2 usage
    [ "$(cat "$work/into/s")" = precious ] || fail "the file has changed"
    ln -sf nowhere "$work/into/s"
    run_thaw run --kernel "$build/guests/later.elf" -m 32M --snapshot-after-ms 30 --snapshot-out "$work/into/s"
    expect_refusal 26 snapshot-link
    [ "$(ls -A "$work/into")" = s ] || fail "left behind: $(ls -A "$work/into")"
}

test_a_target_that_cannot_be_made_is_named_before_the_guest_runs() {
    local target
    for target in "$work/nowhere/s" /dev/null/s; do
        run_thaw run --kernel "$build/guests/hello.elf" -m 32M --snapshot-after-ms 30 --snapshot-out "$target"
        expect_refusal 10 io
        expect_out ""
    done
    for target in "" . .. / "$work/.."; do
        run_thaw run --kernel "$build/guests/hello.elf" -m 32M --snapshot-after-ms 30 --snapshot-out "$target"
        expect_refusal 2 usage
        expect_out ""
    done
}

test_options_of_snapshots_are_checked() {
    local options
    while read -r options; do
        # shellcheck disable=SC2086 # words
        run_thaw run --kernel "$build/guests/hello.elf" -m 32M $options
        [ "$status" -eq 2 ] || [ "$status" -eq 125 ] || fail "exit status $status: $options"
        grep -q '\[usage\]$' "$work/err" || fail "not a usage error: $options"
        expect_out ""
    done <<'END'
--snapshot-after-ms 5
--snapshot-at-heartbeat 1
--snapshot-on-listener
--snapshot-on-pre-exec
--snapshot-quiesce-ms 5
--sync
--snapshot-out s
--snapshot-out s --snapshot-quiesce-ms 5
--snapshot-out s --snapshot-after-ms 0
--snapshot-out s --snapshot-after-ms x
--snapshot-out s --snapshot-after-ms -1
--snapshot-out s --snapshot-at-heartbeat 0
--snapshot-out s --snapshot-at-heartbeat 4294967296
--snapshot-out s --snapshot-at-heartbeat 1 --snapshot-anyway
--snapshot-out s --snapshot-frobnicate
--snapshot-out
END
    [ ! -e s ] || fail "something was written"
    for options in "" "a b" "--frobnicate a" "--memory often a" "a --json=no"; do
        # shellcheck disable=SC2086
        run_thaw restore $options
        grep -q '\[usage\]$' "$work/err" || fail "not a usage error: restore $options"
    done
    for options in "" frobnicate inspect "inspect a b" "verify --level 3" "pack a" "pack a b c" \
        "pack --level 99 a b" "unpack a" "verify --frobnicate a" record-workingset; do
        # shellcheck disable=SC2086
        run_thaw snapshot $options
        expect_status 2
    done
}

# ---- writers that are killed, disks that are full ---------------------------------------------

# Whatever is at the target is whole; at most one writer's leftovers are beside it.
check_target() {
    [ ! -e "$work/into/s" ] || "$build/thaw" snapshot verify "$work/into/s" >"$work/out" 2>"$work/err" ||
        fail "the target is broken (seed $seed, try $try)"
    [ "$(find "$work/into" -mindepth 1 -maxdepth 1 ! -name s | wc -l)" -le 1 ] ||
        fail "left behind: $(ls -A "$work/into") (seed $seed, try $try)"
}

# A writer that is killed at a random instant: of its first $1 ms, or of the first 20 ms since it has
# begun to write memory.
kill_writer() {
    local ms=$((RANDOM % $1)) pid
    "$build/thaw" run --kernel "$build/guests/touch.elf" -m 32M --snapshot-after-ms 60 --sync \
        --snapshot-out "$work/into/s" </dev/null >"$work/out" 2>"$work/err" &
    pid=$!
    if [ $((try % 2)) -eq 0 ]; then
        ms=$((RANDOM % 20))
        until compgen -G "$work/into/.thaw-*/memory" >"$work/glob" || ! kill -0 "$pid" 2>"$work/kill"; do :; done
    fi
    sleep "$(printf '0.%03d' "$ms")"
    kill -9 "$pid" 2>"$work/kill" || true
    wait "$pid" 2>"$work/kill" || true
}

# How long a bake takes on this machine now, in ms.
bake_ms() {
    local started=$EPOCHREALTIME
    run_thaw run --kernel "$build/guests/touch.elf" -m 32M --snapshot-after-ms 60 --sync \
        --snapshot-out "$work/into/s"
    expect_status 0
    echo $(((${EPOCHREALTIME/./} - ${started/./}) / 1000))
}

test_a_writer_that_is_killed_leaves_the_old_snapshot_or_none_or_the_new_one() {
    mkdir "$work/into"
    local seed=$RANDOM try ms fresh=0 kept=0 replaced=0 before after
    ms=$(bake_ms)
    [ "$ms" -lt 999 ] || ms=999
    RANDOM=$seed
    rm -r "$work/into/s"
    for try in $(seq 25); do # onto nothing
        kill_writer "$ms"
        check_target
        [ ! -e "$work/into/s" ] || fresh=$((fresh + 1))
        rm -rf "$work/into/s"
    done
    bake_ms >/dev/null
    for try in $(seq 25); do # onto another
        before=$(stat -c %i "$work/into/s")
        kill_writer "$ms"
        [ -d "$work/into/s" ] || fail "the old snapshot is gone (seed $seed, try $try)"
        check_target
        after=$(stat -c %i "$work/into/s")
        if [ "$before" = "$after" ]; then kept=$((kept + 1)); else replaced=$((replaced + 1)); fi
    done
    echo "of 50 killed within $ms ms: $fresh new, $kept kept, $replaced replaced"
    bake_ms >/dev/null
    [ "$(ls -A "$work/into")" = s ] || fail "the next writer left $(ls -A "$work/into")"
}

test_a_full_disk_leaves_nothing() {
    mkdir "$work/into"
    local limit
    for limit in 0 1 1000; do
        # shellcheck disable=SC2016 # the inner shell's
        bash -c 'ulimit -f "$0" && exec timeout -k 5 60 "$@"' "$limit" "$build/thaw" run \
            --kernel "$build/guests/touch.elf" -m 32M --snapshot-after-ms 30 \
            --snapshot-out "$work/into/s" </dev/null 2>&1 >/dev/null | cat >"$work/err" && status=0 || status=$?
        expect_refusal 10 io
        nothing_is_left_in "$work/into"
    done
    bake
    mkdir "$work/full"
    if ! mount -t tmpfs -o size=4k tmpfs "$work/full" 2>"$work/mount"; then
        return # not allowed here; to a writer the limits above are the same
    fi
    # shellcheck disable=SC2064 # now
    trap "umount '$work/full'" EXIT
    local size
    for size in 4k 32k 48k 56k; do # it is full at another file each time
        mount -o "remount,size=$size" "$work/full"
        run_thaw run --kernel "$build/guests/touch.elf" -m 32M --snapshot-after-ms 30 --snapshot-out "$work/full/s"
        expect_refusal 10 io
        nothing_is_left_in "$work/full"
        run_thaw snapshot pack "$work/good" "$work/full/s"
        [ "$status" -eq 0 ] || expect_refusal 10 io
        rm -rf "$work/full/s"
        nothing_is_left_in "$work/full"
    done
}

test_a_network_card_that_the_snapshot_does_not_have_is_refused() {
    bake
    local card
    for card in eth0=tap9 eth1=tap9 'eth1=tap9,ip=10.0.0.2/24' e; do
        run_thaw restore "$work/good" --net "$card"
        expect_refusal 125 usage
        expect_out ""
    done
}

test_a_device_that_cannot_be_made_ends_a_restore_from_packed_memory_with_one_line() {
    bake touch --vsock "$work/vsock"
    run_thaw snapshot pack "$work/good" "$work/packed"
    expect_status 0
    run_thaw restore "$work/packed" --vsock "$work/nowhere/vsock"
    expect_refusal 125 io
}

test_a_working_set_of_packed_memory_cannot_be_recorded() {
    bake
    run_thaw snapshot pack "$work/good" "$work/packed"
    expect_status 0
    run_thaw snapshot record-workingset "$work/packed"
    expect_refusal 2 usage "unpack it"
}

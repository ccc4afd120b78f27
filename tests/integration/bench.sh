# SPDX-License-Identifier: Apache-2.0
# thaw bench with freestanding guests, on any /dev/kvm. What it measures is looked at, how long it
# takes is not.

# bench ARGS...: with a TMPDIR of its own, which is empty afterwards.
bench() {
    mkdir -p "$work/tmp"
    TMPDIR=$work/tmp run_thaw bench "$@"
    nothing_is_left
}

nothing_is_left() {
    [ -z "$(ls -A "$work/tmp")" ] || fail "left behind: $(ls -A "$work/tmp")"
}

control() {
    bench boot --kernel "$build/guests/control.elf" --memory 32M "$@"
}

later_snapshot() {
    run_thaw run --kernel "$build/guests/later.elf" --memory 32M --snapshot-after-ms 60 \
        --snapshot-out "$work/snapshot"
    expect_status 0
}

# expect_json FILTER: of stdout, which is one object on one line.
expect_json() {
    [ "$(wc -l <"$work/out")" -eq 1 ] || fail "stdout is not one line"
    jq -e "$1" "$work/out" >/dev/null || fail "not in the JSON: $1"
}

# What holds of every object, with this many samples.
expect_rows() {
    expect_json ".n == $1 and .discarded == 2 and (.statuses | length) == $1"
    expect_json '.host | (.kind | IN("pvm", "hardware")) and .cpus > 0 and .load >= 0 and
        (.kernel | length) > 0 and (.virtual | type) == "boolean"'
    expect_json "[.rows[] | .n == $1 and (.samples | length) == $1 and .min <= .p50 and .p50 <= .p95
        and .p95 <= .p99 and .p99 <= .max and (.samples | min) == .min and (.samples | max) == .max]
        | all"
    expect_json '(.exits | .io > 0 and .mmio == 0) and (.missing | type) == "array"'
    expect_json '([.rows[].id] - (["total", "minor_faults", "cpu_user", "cpu_system", "max_rss",
        "exits_io"]) | length) == (.rows | length) - 6'
}

# one_line NAME [TEXT]: a failure with its own status, and nothing on stdout.
one_line() {
    [ "$(wc -l <"$work/err")" -eq 1 ] || fail "stderr is not one line"
    grep -q "^thaw: .*\[$1\]$" "$work/err" || fail "the failure is not [$1]"
    [ $# -lt 2 ] || expect_err_has "$2"
    expect_out ""
}

test_a_boots_marks_and_phases_have_a_sample_of_every_run() {
    control --n 3 --json
    expect_status 0
    expect_rows 3
    expect_json '.verb == "bench boot" and .missing == [] and .statuses == [7, 7, 7]'
    expect_json '.command[0] == "--kernel" and .command[2] == "--memory"'
    # Moments follow one another in every run (the first byte, of a thread of its own, where it
    # likes), and phases are what lies between.
    expect_json '([.rows[] | {key: .id, value: .samples}] | from_entries) as $r | [range(3) | [
        $r.kvm_run[.], $r.hello[.], $r.pre_exec[.], $r.exec[.], $r.exit[.],
        $r.total[.]]] | all(. == sort)'
    expect_json '([.rows[] | {key: .id, value: .samples[0]}] | from_entries) as $r
        | ($r.phase_spawn + $r.phase_setup + $r.phase_kernel + $r.phase_init + $r.phase_exec
        + $r.phase_workload + $r.phase_end - $r.total) | fabs < 0.001'
}

test_a_table_says_where_it_was_made_and_names_what_was_not_seen() {
    bench boot --n 2 -- --kernel "$build/guests/hello.elf" --memory 32M
    expect_status 0
    [ ! -s "$work/err" ] || fail "stderr is not empty"
    expect_out_has "thaw bench boot: 2 runs after 2 that do not count"
    expect_out_has "$(uname -r), KVM "
    grep -q '^  KVM_RUN  *ms  *2  *[0-9]' "$work/out" || fail "no row of KVM_RUN"
    grep -q '^never seen: .*init says hello' "$work/out" || fail "what is missing is not named"
    ! grep -q 'kernel, to hello' "$work/out" || fail "a row without samples"
}

test_a_status_of_the_workload_is_no_failure_but_said() {
    control --n 2 --discard 0
    expect_status 0
    expect_out_has "the workload's status was not 0 in 2 of 2 runs (7)"
}

test_a_restores_numbers_and_the_phases_of_its_load() {
    later_snapshot
    bench restore "$work/snapshot" --n 3 --json
    expect_status 0
    expect_rows 3
    expect_json '.verb == "bench restore" and .statuses == [7, 7, 7]'
    expect_json '[.rows[].id] as $ids | ["load", "first_instruction", "first_byte",
        "first_byte_read", "fault_minor", "fault_major", "fault_kernel", "load_spawn", "load_open",
        "load_map", "load_vm", "load_memory", "load_state", "load_devices", "load_mailbox",
        "load_rest", "phase_resume"] - $ids == []'
    expect_json '([.rows[] | {key: .id, value: .samples[0]}] | from_entries) as $r
        | (([$r | to_entries[] | select(.key | startswith("load_")) | .value] | add) - $r.load)
        | fabs < 0.001'
}

test_a_captures_phases_and_its_size() {
    bench capture --kernel "$build/guests/touch.elf" --memory 32M --snapshot-after-ms 60 --n 3 --json
    expect_status 0
    expect_rows 3
    expect_json '.verb == "bench capture" and .statuses == [0, 0, 0]'
    expect_json '([.rows[] | {key: .id, value: .p50}] | from_entries) | .memory_bytes == 33554432
        and .data_bytes >= 4194304 and .phase_trigger >= 60 and .data_rate > 0 and .pauses >= 1
        and .phase_pause >= 0 and .phase_copy >= 0 and .phase_quiesce >= 0 and .phase_write >= 0 and .boot > 0
        and .published > .boot and .total >= .published'
}

test_output_of_a_guest_is_read_however_much_it_is() {
    bench boot --kernel "$build/guests/flood.elf" --memory 32M --n 2 --discard 0 --json
    expect_status 0
    expect_json '.statuses == [3, 3] and ([.rows[] | select(.id == "first_byte_read")] | length) == 1'
}

test_a_run_that_fails_ends_the_bench_with_one_line() {
    bench boot --kernel "$build/guests/panic.elf" --memory 32M
    expect_status 14
    one_line guest-panic "bench boot, run 1: exit status 125: guest: kernel panic"
    bench boot --kernel "$work/nowhere"
    expect_status 5
    one_line kernel-invalid nowhere
    bench restore "$work/nowhere" --json
    expect_status 24
    one_line snapshot-missing "exit status 24"
    bench capture --kernel "$build/guests/halt.elf" --memory 32M --snapshot-after-ms 5000
    expect_status 29
    one_line guest-ended "no snapshot was taken"
    bench boot --kernel "$build/guests/spin.elf" --memory 32M --timeout 0.2
    expect_status 11
    one_line timeout "--timeout 0.2"
}

test_wrong_usage_is_one_line() {
    local words
    while read -r words; do
        # shellcheck disable=SC2086 # words
        bench $words
        expect_status 2
        one_line usage
    done <<'END'

frobnicate
boot
restore --n 3
boot web --n none
boot --kernel x --frobnicate
capture --kernel x
capture web --snapshot-out here
restore -
boot -- --help
END
}

test_help_teaches_with_an_example() {
    local verb
    for verb in "" boot restore capture; do
        # shellcheck disable=SC2086 # none or one
        bench $verb --help
        expect_status 0
        expect_out_has "Usage: thaw bench"
        expect_out_has "thaw bench restore web.snap --n 200"
    done
    run_thaw --help
    grep -q '^  bench ' "$work/out" || fail "thaw --help does not know bench"
}

test_a_table_that_nobody_can_take_is_a_failure() {
    status=0
    timeout -k 5 60 "$build/thaw" bench boot --kernel "$build/guests/hello.elf" -m 32M --n 1 \
        >/dev/full 2>"$work/err" || status=$?
    expect_status 10
    one_line io stdout
}

# stopped SIGNAL ARGS...: in the middle of a run. No process is left that has these words.
stopped() {
    local signal=$1 pid
    shift
    mkdir -p "$work/tmp"
    TMPDIR=$work/tmp "$build/thaw" bench "$@" </dev/null >"$work/out" 2>"$work/err" &
    pid=$!
    await eval "pgrep -P $pid >$work/child"
    sleep 0.2
    kill "-$signal" "$pid"
    status=0
    wait "$pid" || status=$?
    expect_status 12
    one_line interrupted "signal $signal"
    ! kill -0 "$(cat "$work/child")" 2>"$work/kill" || fail "the run goes on"
    nothing_is_left
}

test_a_signal_in_the_middle_leaves_no_process_and_no_directory() {
    stopped TERM capture --kernel "$build/guests/spin.elf" --memory 32M --snapshot-after-ms 50000
    stopped INT boot --kernel "$build/guests/spin.elf" --memory 32M
    stopped HUP boot --kernel "$build/guests/spin.elf" --memory 32M --json
}

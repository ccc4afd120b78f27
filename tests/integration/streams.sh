# SPDX-License-Identifier: Apache-2.0
# Real Linux guests: the workload's standard streams, from its pipes to thaw's.

# A mebibyte of noise, in the guest as /etc/block. The same for all, or each would pack its own root.
block() {
    local noise=$build/test/noise
    if [ ! -e "$noise" ]; then
        head -c 1048576 /dev/urandom >"$noise.$$"
        mv "$noise.$$" "$noise"
    fi
    ln -sf "$noise" "$work/block"
    echo ".mounts += [{destination: \"/etc/block\", type: \"bind\", source: \"$noise\",
        options: [\"bind\", \"ro\"]}]"
}

test_64_mib_of_stdout_arrive_exactly_for_an_exit_per_4_kib_at_most() {
    sh_bundle 'for i in $(seq 64); do echo $i; cat /etc/block; done; exit 9' "$(block)"
    limit=120 run_bundle --json
    expect_status 9
    for i in $(seq 64); do echo $i; cat "$work/block"; done | cmp - "$work/out" || fail "bytes differ"
    # All of them: the boot's too, and both what the guest notifies and what it is interrupted for.
    jq -e '.exits.io + .exits.mmio + .streams.kicks + .streams.interrupts < 64 * 1024 / 4' \
        "$work/err" >/dev/null || fail "exits: $(jq -c '[.exits, .streams]' "$work/err")"
    jq -e '.streams.stdout == 64 * 1048576 + 183 and .streams.discarded == 0 and .console.written == 0' \
        "$work/err" >/dev/null || fail "$(jq -c '[.streams, .console]' "$work/err")"
}

test_8_mib_of_stdin_pass_through_cat_and_back() {
    head -c 8388608 /dev/urandom >"$work/in"
    run_script 'cat'
    expect_status 0
    cmp "$work/in" "$work/out" || fail "bytes differ"
    cat "$work/in" | timeout -k 5 60 "$build/thaw" run --bundle "$work/bundle" >"$work/out" 2>"$work/err"
    cmp "$work/in" "$work/out" || fail "bytes differ when they come through a pipe"
}

test_stdout_and_stderr_stay_apart_whole_and_in_order() {
    sh_bundle 'for i in 1 2 3; do cat /etc/block; echo $i >&2; cat /etc/block >&2; echo $i; done' \
        "$(block)"
    run_bundle
    expect_status 0
    for i in 1 2 3; do cat "$work/block"; echo $i; done | cmp - "$work/out" || fail "stdout differs"
    for i in 1 2 3; do echo $i; cat "$work/block"; done | cmp - "$work/err" || fail "stderr differs"
}

test_a_slow_reader_holds_the_workload_up_and_loses_nothing() {
    sh_bundle 'seq 1 400000; echo all-written >&2; exit 3'
    status=0
    timeout -k 5 60 "$build/thaw" run --bundle "$work/bundle" </dev/null 2>"$work/err" |
        { sleep 4; ! grep -q all-written "$work/err" || echo too-early; cat; } >"$work/out" || status=$?
    expect_status 3
    [ "$(cksum <"$work/out")" = "$(seq 1 400000 | cksum)" ] || fail "output differs"
    expect_err_has all-written
}

test_a_blocked_stdout_does_not_hold_stderr_up() {
    mkfifo "$work/blocked"
    exec 9<>"$work/blocked"
    sh_bundle 'cat /etc/block & sleep 1; echo still-speaking >&2; wait' "$(block)"
    timeout -k 5 60 "$build/thaw" run --bundle "$work/bundle" </dev/null >"$work/blocked" 2>"$work/err" &
    wait_for "$work/err" still-speaking
    head -c 1048576 <&9 | cmp - "$work/block" || fail "bytes differ"
    wait $! || fail "status $?"
}

test_a_reader_that_leaves_early_does_not_stop_the_workload() {
    sh_bundle 'cat /etc/block /etc/block; echo finished >&2; exit 6' "$(block)"
    local statuses
    set +e
    timeout -k 5 60 "$build/thaw" run --bundle "$work/bundle" </dev/null 2>"$work/err" |
        head -c 1000 >"$work/out"
    statuses=("${PIPESTATUS[@]}")
    set -e
    [ "${statuses[0]}" -eq 6 ] || fail "status ${statuses[0]}"
    head -c 1000 "$work/block" | cmp - "$work/out" || fail "bytes differ"
    expect_err_has finished
}

test_stdin_that_comes_late_ends_when_its_writer_goes() {
    sh_bundle 'echo ready; while read -r line; do echo "got $line"; done; echo ended'
    mkfifo "$work/fifo"
    timeout -k 5 60 "$build/thaw" run --bundle "$work/bundle" <"$work/fifo" >"$work/out" 2>"$work/err" &
    exec 8>"$work/fifo"
    wait_for "$work/out" ready
    echo one >&8
    wait_for "$work/out" "got one"
    echo two >&8
    wait_for "$work/out" "got two"
    exec 8>&-
    wait $! || fail "status $?"
    expect_out_has ended
}

test_a_workload_that_closes_its_stdin_leaves_the_rest_to_the_host() {
    head -c 4194304 /dev/zero >"$work/in"
    run_script 'head -c 5 | wc -c; exec <&-; sleep 1; echo done'
    expect_status 0
    expect_out "5
done"
}

test_a_pipeline_of_two_guests_is_a_pipeline() {
    head -c 1000000 /dev/urandom >"$work/in"
    sh_bundle 'cat'
    timeout -k 5 60 "$build/thaw" run --bundle "$work/bundle" <"$work/in" 2>"$work/err" |
        timeout -k 5 60 "$build/thaw" run --bundle "$work/bundle" >"$work/out" 2>>"$work/err"
    cmp "$work/in" "$work/out" || fail "bytes differ"
}

test_a_terminal_passes_bulk_both_ways() {
    seq 20000 >"$work/in"
    sh_bundle "stty raw -echo; echo ready; head -c $(stat -c %s "$work/in") | md5sum" \
        '.process.terminal = true'
    mkfifo "$work/fifo"
    timeout -k 5 60 "$build/thaw" run --bundle "$work/bundle" <"$work/fifo" >"$work/out" 2>"$work/err" &
    exec 8>"$work/fifo"
    wait_for "$work/out" ready
    cat "$work/in" >&8
    exec 8>&-
    wait $! || fail "status $?"
    expect_out_has "$(md5sum <"$work/in")"
}

test_the_kernels_messages_are_not_on_stdout() {
    sh_bundle 'echo mine'
    run_bundle --cmdline-extra loglevel=7
    expect_status 0
    expect_out mine
    expect_err_has "Linux version"
}

# ---- guests without ports -------------------------------------------------------------------------

test_the_console_carries_the_streams_of_a_guest_that_opens_no_ports() {
    bundle
    run_thaw run --bundle "$work/bundle" --kernel "$build/guests/control.elf"
    expect_status 7
    expect_out output
}

test_the_console_carries_the_streams_of_a_machine_without_ports() {
    seq 500 >"$work/in"
    sh_bundle 'md5sum; echo error >&2'
    run_thaw run --bundle "$work/bundle" --export "$work/export"
    expect_status 0
    run_thaw run --kernel "$build/vmlinux" --initrd "$work/export/initramfs"
    expect_status 0
    expect_out "$(md5sum <"$work/in")
error"
}

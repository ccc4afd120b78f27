# SPDX-License-Identifier: Apache-2.0
# Freestanding guests: a few 64-bit instructions each, on any /dev/kvm.

guest() {
    run_thaw run --kernel "$build/guests/$1.elf" --memory 32M "${@:2}"
}

test_a_guest_prints_and_its_status_is_thaws() {
    guest hello
    expect_status 0
    expect_out "hello from a freestanding guest"
    guest status
    expect_status 42
}

test_the_control_port_carries_the_workloads_status() {
    guest control
    expect_status 7
    expect_out output
}

test_a_reset_is_told_from_a_panic() {
    guest reset
    expect_failure guest-reboot
    guest panic
    expect_failure guest-panic
}

test_a_triple_fault_is_named_with_its_instruction() {
    guest triple-fault
    expect_failure guest-triple-fault "RIP 0x200000, bytes 0f 0b"
}

test_an_instruction_that_cannot_be_fetched_is_kvms_error_with_rip() {
    guest no-code
    expect_failure kvm-internal-error "RIP 0xd0000000"
}

test_halting_with_interrupts_off_is_a_shutdown() {
    guest halt
    expect_failure guest-shutdown
}

test_a_guest_that_never_ends_is_stopped_by_the_timeout() {
    guest spin --timeout 0.3
    expect_failure timeout "--timeout 0.3"
}

test_memory_holds_up_to_the_last_page() {
    guest memory
    expect_status 0
}

test_eight_vcpus_can_be_made() {
    guest hello --cpus 8
    expect_status 0
}

test_json_gives_status_marks_and_exits() {
    guest control --json
    expect_status 7
    jq -e '.status == 7 and .error == null and .marks_ms.workload_exit >= .marks_ms.kvm_run
        and .exits.io > 50 and .console.written == 7' "$work/err" >/dev/null ||
        fail "the JSON is not as expected"
    guest panic --json
    jq -e '.status == 125 and .error == "guest-panic" and .code == 14' "$work/err" >/dev/null ||
        fail "the JSON is not as expected"
}

test_a_flood_on_both_ports_arrives_whole_and_costs_bounded_memory() {
    guest flood --json
    expect_status 3
    [ "$(tr -d x <"$work/out" | wc -c)" -eq 0 ] || fail "something else than x was printed"
    [ "$(wc -c <"$work/out")" -eq 100000 ] ||
        fail "$(wc -c <"$work/out") bytes arrived where 100000 were printed"
    jq -e '.dropped_lines.too_long == 0' "$work/err" >/dev/null || fail "an endless line counts once, at its end"
}

test_a_console_file_takes_the_output() {
    guest hello --console "$work/console"
    expect_status 0
    expect_out ""
    [ "$(cat "$work/console")" = "hello from a freestanding guest" ] || fail "console file"
}

test_a_closed_stdout_does_not_hang_the_guest() {
    status=0
    # The reader is gone before the guest prints.
    { timeout -k 5 60 "$build/thaw" run --kernel "$build/guests/flood.elf" -m 32M </dev/null \
        2>"$work/err"; echo $? >"$work/status"; } | true
    [ "$(cat "$work/status")" -eq 3 ] || fail "status $(cat "$work/status")"
}

test_a_blocked_stdout_leaves_the_timeout_working() {
    mkfifo "$work/pipe"
    sleep 120 <>"$work/pipe" & # keeps it open, reads nothing
    local reader=$!
    status=0
    timeout -k 5 60 "$build/thaw" run --kernel "$build/guests/flood.elf" -m 32M --timeout 2 \
        </dev/null >"$work/pipe" 2>"$work/err" || status=$?
    kill "$reader"
    expect_failure timeout
}

test_a_signal_behind_the_guests_end_ends_the_wait_for_a_reader() {
    mkfifo "$work/pipe"
    sleep 120 <>"$work/pipe" & # keeps it open, reads nothing
    local reader=$! pid
    head -c 65536 /dev/zero >"$work/pipe"
    "$build/thaw" run --kernel "$build/guests/control.elf" -m 32M --timeout 10 </dev/null \
        >"$work/pipe" 2>"$work/err" &
    pid=$!
    await has_vcpu "$pid"
    sleep 1 # the guest ends at once
    kill -TERM "$pid"
    status=0
    wait "$pid" || status=$?
    kill "$reader"
    expect_failure interrupted "its reader did not take all"
}

test_standard_descriptors_may_be_closed() {
    status=0
    timeout -k 5 60 "$build/thaw" run --kernel "$build/guests/status.elf" -m 32M <&- >&- 2>"$work/err" ||
        status=$?
    expect_status 42
}

test_output_that_cannot_be_written_is_named() {
    status=0
    timeout -k 5 60 "$build/thaw" run --kernel "$build/guests/hello.elf" -m 32M </dev/null \
        >/dev/full 2>"$work/err" || status=$?
    expect_failure io "output: No space left"
}

test_sigquit_stops_the_guest() {
    "$build/thaw" run --kernel "$build/guests/spin.elf" -m 32M </dev/null >"$work/out" \
        2>"$work/err" &
    local pid=$!
    await has_vcpu "$pid"
    kill -QUIT "$pid"
    status=0
    wait "$pid" || status=$?
    expect_failure interrupted "signal QUIT"
}

test_a_reader_that_is_slow_holds_the_guest_up_and_loses_nothing() {
    { timeout -k 5 240 "$build/thaw" run --kernel "$build/guests/polite.elf" -m 32M </dev/null \
        2>"$work/err"; echo $? >"$work/status"; } | { sleep 4; cat; } >"$work/out"
    status=$(cat "$work/status")
    expect_status 5
    awk 'BEGIN { for (i = 140000; i > 0; i--) printf "%c", 33 + i % 64 }' | cmp - "$work/out" ||
        fail "the output is not what was printed"
}

# descriptors_allowed VERB...: a thaw that runs a guest that never ends may open all that it is allowed.
descriptors_allowed() {
    local pid allowed=no
    # shellcheck disable=SC2016 # the inner shell's
    bash -c 'ulimit -Sn 64 && exec "$@"' thaw "$build/thaw" "$@" --timeout 90 </dev/null \
        >"$work/out" 2>"$work/err" &
    pid=$!
    await has_vcpu "$pid"
    ! awk '/^Max open files/ { exit $4 != $5 }' "/proc/$pid/limits" || allowed=all
    kill -QUIT "$pid"
    wait "$pid" || true
    [ "$allowed" = all ] || fail "$1 may not open all"
}

test_each_connection_of_a_virtio_socket_may_have_its_descriptor() {
    descriptors_allowed run --kernel "$build/guests/spin.elf" -m 32M --vsock "$work/vsock"
    guest spin --vsock "$work/vsock" --snapshot-after-ms 50 --snapshot-anyway --snapshot-out "$work/snap"
    expect_status 0
    descriptors_allowed restore "$work/snap"
}

# Its memory is written while it goes on, and again what it has written meanwhile.
test_a_guest_that_writes_while_it_is_frozen_has_all_of_it_as_a_clone_and_as_a_clones_clone() {
    local ms
    for ms in 20 100 200; do
        guest sums --memory 128M --snapshot-after-ms $ms --snapshot-anyway --snapshot-out "$work/$ms" --json
        expect_status 0
        sed -n '/^{/p' "$work/err" | jq -e '.snapshot | .capture_ms > .pause_ms' >/dev/null || fail "not beside the guest"
        run_thaw restore "$work/$ms" --snapshot-after-ms 5 --snapshot-anyway --snapshot-out "$work/$ms.again"
        expect_status 0
        run_thaw restore "$work/$ms.again"
        expect_status 5
        run_thaw restore "$work/$ms"
        expect_status 5
        run_thaw snapshot verify "$work/$ms.again"
        expect_status 0
    done
}

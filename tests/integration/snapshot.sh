# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# Real Linux guests: frozen at an instant, thawed any number of times.

# A bundle with busybox and the probe, whose process is `probe ARG...` if there are any.
probe_bundle() {
    mkdir -p "$work"/rootfs/{bin,dev,etc,proc,sys,tmp,run}
    cp /bin/busybox "$work/rootfs/bin/"
    local applet
    for applet in sh cat echo true sleep head tail date hostname nc mkdir ls dd sync wc ip; do
        ln -sf busybox "$work/rootfs/bin/$applet"
    done
    cp "$build/probe" "$build/vsock-peer" "$work/rootfs/bin/"
    bundle ".root.path = \"$work/rootfs\"" \
        ".process.args = $(jq -nc '$ARGS.positional' --args -- "$@")"
}

# change FILTER: of the bundle's config.json.
change() {
    jq "$1" "$work/bundle/config.json" >"$work/changed" || fail "jq: $1"
    mv "$work/changed" "$work/bundle/config.json"
}

# freeze OPTION...: bakes the bundle to $work/snap.
freeze() {
    run_bundle --snapshot-out "$work/snap" "$@"
    expect_status 0
}

# freeze_at_pre_exec OPTION...: the usual case.
freeze_at_pre_exec() {
    freeze --snapshot-on-pre-exec "$@"
}

# clone N OPTION...: restores into files of its own, $work/out.N and $work/err.N.
clone() {
    local n=$1
    shift
    timeout -k 5 60 "$build/thaw" restore "$work/snap" "$@" \
        </dev/null >"$work/out.$n" 2>"$work/err.$n"
}

# thaw_it OPTION...: one clone.
thaw_it() {
    run_thaw restore "$work/snap" "$@"
}

# The value behind a word at a line's start.
value() {
    sed -n "s/^$1 //p" "$2"
}

test_a_frozen_workload_runs_afresh_with_each_clones_invocation() {
    probe_bundle /bin/echo the bundle speaks
    freeze_at_pre_exec
    expect_out ""
    expect_err_has "trigger pre-exec, point pre-exec"
    thaw_it
    expect_status 0
    expect_out "the bundle speaks"
    echo "typed by hand" >"$work/in"
    thaw_it --env COLOR=red --env SHAPE=round --hostname clone7 -- \
        /bin/sh -c 'echo "$COLOR $SHAPE $(hostname) $*"; cat; echo complaint >&2; exit 9' sh a 'b c'
    expect_status 9
    expect_out "red round clone7 a b c
typed by hand"
    [ "$(cat "$work/err")" = complaint ] || fail "stderr is not the workload's alone"
    thaw_it -- /bin/nowhere
    expect_status 127
}

test_jitvm_compiles_in_each_clone() {
    probe_bundle /bin/jitvm stats --json /fib.jv -- 15
    cp "$build/jitvm" "$work/rootfs/bin/"
    cat >"$work/rootfs/fib.jv" <<'EOF'
fn fib(n) { if n < 2 { return n } return fib(n - 1) + fib(n - 2) }
eprint("fib ", fib(int(args()[0])))
EOF
    freeze_at_pre_exec
    thaw_it
    expect_status 0
    expect_err_has "fib 610"
    jq -e '.compiled_block == 1 and .entries > 0' "$work/out" >"$work/verdict" || fail "not compiled"
    thaw_it -- /bin/jitvm run /fib.jv -- 20
    expect_status 0
    expect_err_has "fib 6765"
    thaw_it -- /bin/jitvm run --fuel 100 /fib.jv -- 20
    expect_status 69
    expect_err_has "out of fuel"
}

test_input_comes_from_a_file_of_any_size() {
    probe_bundle /bin/cat
    freeze_at_pre_exec
    head -c 300000 /dev/urandom >"$work/data"
    thaw_it --stdin "$work/data"
    expect_status 0
    cmp "$work/data" "$work/out" || fail "the clone did not get its input whole"
    thaw_it --stdin "$work/nowhere"
    expect_failure io "--stdin"
}

test_clones_differ_in_everything_that_must_differ() {
    probe_bundle /bin/probe identity
    freeze_at_pre_exec
    local n what
    for n in 1 2; do clone $n || fail "clone $n: $(cat "$work/err.$n")"; done
    for what in getrandom at_random stack generation boot_id; do
        [ -n "$(value $what "$work/out.1")" ] || fail "no $what"
        [ "$(value $what "$work/out.1")" != "$(value $what "$work/out.2")" ] ||
            fail "the same $what in both clones"
    done
}

# The guest's clock, between the host's before and after, widened by nothing.
test_the_time_of_day_is_right_after_a_restore() {
    probe_bundle /bin/probe clocks
    freeze_at_pre_exec
    sleep 2
    local before after
    before=$(date +%s%N)
    thaw_it
    after=$(date +%s%N)
    expect_status 0
    local guest
    guest=$(value realtime "$work/out")
    [ "$guest" -ge "$before" ] && [ "$guest" -le "$after" ] ||
        fail "the guest says $guest; it was $before to $after"
}

# Frozen: what passes between two restores is not in the guest's monotonic clock. Realtime: it is.
test_the_monotonic_clock_follows_the_policy() {
    probe_bundle /bin/probe clocks
    freeze_at_pre_exec
    local frozen started
    started=$(date +%s%N)
    thaw_it
    frozen=$(value monotonic "$work/out")
    sleep 5
    thaw_it
    [ $(($(value monotonic "$work/out") - frozen)) -lt $(($(date +%s%N) - started - 4000000000)) ] ||
        fail "frozen: the clock moved on between two restores"
    thaw_it --clock realtime
    expect_status 0
    [ "$(value monotonic "$work/out")" -ge $((frozen + 5000000000)) ] ||
        fail "realtime: the clock did not move on"
    [ "$(value boottime "$work/out")" -ge $((frozen + 5000000000)) ] || fail "realtime: boottime"
    thaw_it --clock someday
    expect_failure usage "--clock someday"
}

# The nonce and the count are nowhere but in memory.
test_a_running_workload_goes_on_where_it_stood() {
    probe_bundle /bin/probe count
    freeze --snapshot-on-listener
    expect_err_has "trigger listener, point quiesced"
    local baked last nonce n
    baked=$(cat "$work/out")
    last=$(tail -n 1 <<<"$baked") && nonce=${last##* } && last=${last%% *}
    for n in 1 2; do
        status=0
        clone $n --timeout 12 || status=$?
        [ "$status" -eq 125 ] || fail "status $status"
        [ "$(head -n 1 "$work/out.$n")" = "$((last + 1)) nonce $nonce" ] ||
            fail "clone $n went on with $(head -n 1 "$work/out.$n") after $last nonce $nonce"
    done
    thaw_it -- /bin/echo late
    expect_failure usage "come too late"
}

test_a_timer_that_was_armed_before_expires_after() {
    probe_bundle /bin/probe timer 3000
    freeze --snapshot-on-listener
    expect_out armed
    thaw_it
    expect_status 0
    local ms
    ms=$(sed -n 's/^fired 1 after //p' "$work/out")
    [ -n "$ms" ] && [ "$ms" -ge 3000 ] || fail "the timer: $(cat "$work/out")"
}

test_a_listener_is_the_trigger_and_still_listens() {
    probe_bundle /bin/sh -c 'ip link set lo up 2>/dev/null; echo up; nc -l -p 7777; echo "got it"'
    change '.process.args[2] = "{ sleep 1; while ! echo hello | nc 127.0.0.1 7777; do sleep 1; done; } & " + .process.args[2]'
    freeze --snapshot-on-listener
    expect_err_has "trigger listener, point quiesced"
    thaw_it --timeout 30
    expect_status 0
    expect_out "hello
got it"
}

test_a_workload_that_will_never_listen_is_a_trigger_too() {
    probe_bundle /bin/sh -c 'sleep 6 & exit 0'
    # The first process of a PID namespace takes all others with it.
    change '.linux.namespaces -= [{"type": "pid"}]'
    freeze --snapshot-on-listener
    expect_err_has "trigger no-listener"
    thaw_it
    expect_status 0
}

test_of_pre_exec_and_listener_pre_exec_fires() {
    probe_bundle /bin/echo afresh
    freeze --snapshot-on-listener --snapshot-on-pre-exec --snapshot-quiesce-ms 50
    expect_err_has "trigger pre-exec"
    thaw_it
    expect_out afresh
}

test_a_guest_that_still_boots_is_frozen_by_the_clock() {
    probe_bundle /bin/echo booted
    freeze --snapshot-after-ms 300
    expect_err_has "trigger wall-clock, point running"
    thaw_it
    expect_status 0
    expect_out booted
}

test_the_heartbeat_counts_to_its_trigger() {
    probe_bundle /bin/sleep 30
    freeze --snapshot-at-heartbeat 3 --snapshot-on-listener --snapshot-quiesce-ms 20
    expect_err_has "trigger heartbeat"
    thaw_it --timeout 3
    expect_failure timeout
}

test_the_warm_up_has_run_before_the_snapshot() {
    probe_bundle /bin/cat /dev/shm/warm
    freeze_at_pre_exec --warmup 'echo warmed up >/dev/shm/warm; echo said by the warm-up'
    expect_out "said by the warm-up"
    thaw_it
    expect_out "warmed up"
}

test_a_warm_up_that_fails_leaves_no_snapshot() {
    probe_bundle /bin/true
    run_bundle --snapshot-out "$work/snap" --snapshot-on-pre-exec --warmup 'exit 3'
    [ "$status" -eq 29 ] || fail "status $status"
    expect_err_has "[guest-ended]"
    [ ! -e "$work/snap" ] || fail "there is a snapshot"
}

test_a_workload_that_ends_before_the_trigger_leaves_no_snapshot() {
    probe_bundle /bin/sh -c 'exit 4'
    run_bundle --snapshot-out "$work/snap" --snapshot-on-listener --snapshot-after-ms 60000
    [ "$status" -eq 29 ] || fail "status $status"
    expect_err_has "ended with status 4 before a snapshot trigger fired"
    [ ! -e "$work/snap" ] || fail "there is a snapshot"
}

test_a_snapshot_of_a_restored_guest_five_generations_deep() {
    probe_bundle /bin/sh -c 'echo "generation $DEPTH: $(hostname)"'
    freeze_at_pre_exec
    local n
    for n in 2 3 4 5; do
        thaw_it --snapshot-on-pre-exec --snapshot-out "$work/snap.$n" --hostname "host$n"
        expect_status 0
        rm -rf "$work/snap" && mv "$work/snap.$n" "$work/snap"
        [ "$("$build/thaw" snapshot inspect --json "$work/snap" | jq .meta.generation)" = "$n" ] ||
            fail "not generation $n"
    done
    thaw_it --env DEPTH=5
    expect_status 0
    expect_out "generation 5: host5"
    run_thaw snapshot verify "$work/snap"
    expect_status 0
}

test_running_guests_can_be_frozen_again_and_again() {
    probe_bundle /bin/probe count
    freeze --snapshot-on-listener
    local nonce last n
    nonce=$(tail -n 1 "$work/out") && nonce=${nonce##* }
    for n in 2 3 4; do
        thaw_it --snapshot-at-heartbeat 2 --snapshot-out "$work/snap.$n"
        expect_status 0
        last=$(tail -n 1 "$work/out")
        rm -rf "$work/snap" && mv "$work/snap.$n" "$work/snap"
    done
    # Frozen once more, for an end that comes after its first lines on any host.
    thaw_it --snapshot-at-heartbeat 2 --snapshot-out "$work/snap.5"
    expect_status 0
    [ "$(head -n 1 "$work/out")" = "$((${last%% *} + 1)) nonce $nonce" ] ||
        fail "after $last came $(head -n 1 "$work/out")"
}

# hundred CPUS: every restore must print its own number.
hundred() {
    probe_bundle /bin/echo
    freeze_at_pre_exec --cpus "$1"
    local n
    for n in $(seq 100); do
        thaw_it -- /bin/echo "clone $n"
        [ "$status" -eq 0 ] && [ "$(cat "$work/out")" = "clone $n" ] || fail "clone $n: $status"
    done
}

test_a_hundred_restores_of_one_processor() {
    hundred 1
}

test_a_hundred_restores_of_two_processors() {
    hundred 2
}

test_clones_at_once_on_a_loaded_host() {
    probe_bundle /bin/echo
    freeze_at_pre_exec --cpus 2
    local n load=() clones=()
    for n in 1 2 3; do
        timeout 100 sh -c 'while :; do :; done' &
        load+=($!)
    done
    for n in $(seq 10); do
        clone "$n" -- /bin/echo "clone $n" &
        clones+=($!)
    done
    for n in $(seq 10); do
        wait "${clones[n - 1]}" || fail "clone $n: $(cat "$work/err.$n")"
        [ "$(cat "$work/out.$n")" = "clone $n" ] || fail "clone $n said $(cat "$work/out.$n")"
    done
    kill "${load[@]}"
}

test_a_held_clone_waits_for_its_signal() {
    probe_bundle /bin/echo
    freeze_at_pre_exec
    run_thaw restore "$work/snap" --hold --json -- /bin/echo let go &
    sleep 2
    [ ! -s "$work/out" ] || fail "it did not wait"
    local thaw
    thaw=$(pgrep -f -n "restore $work/snap --hold")
    kill -USR1 "$thaw"
    wait
    expect_out "let go"
}

test_a_resume_takes_at_most_12_exits_to_execve() {
    probe_bundle /bin/true
    freeze_at_pre_exec
    thaw_it --json
    expect_status 0
    local exits
    exits=$(jq .restore.exits_to_exec "$work/err")
    [ "$exits" -gt 0 ] && [ "$exits" -le 12 ] || fail "$exits exits to execve"
}

test_every_device_is_alive_after_a_restore() {
    truncate -s 32M "$work/disk" && mkfs.ext4 -q "$work/disk"
    probe_bundle /bin/sh -c 'echo writes >/mnt/file; sync; cat /mnt/file /mnt/before; head -c 4 /dev/hwrng | wc -c
        vsock-peer refused vsock:2:6001; echo on stderr >&2; cat'
    change '.linux.devices = [{path: "/dev/hwrng", type: "c", major: 10, minor: 183, fileMode: 438}]
        | .linux.resources.devices += [{allow: true, access: "rwm"}]'
    freeze_at_pre_exec --disk "$work/disk,mount=/mnt,serial=data" --vsock "$work/v" --balloon 8M \
        --warmup 'echo before >/mnt/before'
    echo input >"$work/in"
    local n
    for n in 1 2; do
        thaw_it --vsock "$work/v$n" --json
        expect_status 0
        expect_out "writes
before
4
refused
input"
        grep -qx "on stderr" "$work/err" || fail "stderr of the workload"
        [ "$(tail -n 1 "$work/err" | jq '[.devices[].broken] | all(. == null)')" = true ] ||
            fail "a device is broken"
    done
    [ "$(debugfs -R 'cat file' "$work/disk" 2>/dev/null)" = "" ] || fail "a clone wrote to the disk"
}

test_host_connections_reach_a_restored_listener() {
    probe_bundle /bin/vsock-peer echo vsock:4294967295:5000 2
    freeze --snapshot-at-heartbeat 8 --vsock "$work/v"
    grep -qx listening "$work/out" || fail "did not listen before the snapshot"
    thaw_it --vsock "$work/moved" &
    await [ -S "$work/moved" ]
    [ "$(timeout 60 "$build/vsock-peer" load "hybrid:$work/moved:5000" 2 30000 2>&1)" = \
        "2 connections, 30000 bytes each way, all as sent" ] || fail "load"
    wait
    grep -qx "echoed 2" "$work/out" || fail "the guest: $(cat "$work/out")"
}

test_a_disk_that_has_moved_is_found_and_another_one_refused() {
    truncate -s 16M "$work/disk" && mkfs.ext4 -q "$work/disk"
    probe_bundle /bin/sh -c 'ls /mnt'
    freeze_at_pre_exec --disk "$work/disk,ro,mount=/mnt,serial=data"
    mv "$work/disk" "$work/moved"
    thaw_it
    [ "$status" -eq 27 ] || fail "status $status"
    expect_err_has "--disk data=PATH"
    thaw_it --disk "data=$work/moved"
    expect_status 0
    expect_out "lost+found"
    truncate -s 16M "$work/other"
    thaw_it --disk "data=$work/other"
    [ "$status" -eq 27 ] || fail "status $status of another image"
    thaw_it --disk "nothing=$work/moved"
    expect_failure usage "no disk of this name"
}

# What was written before the snapshot is on the clone's disk as its memory believes, whatever the
# guest and others did to the file later.
test_a_writable_disk_is_kept_with_its_memory() {
    truncate -s 16M "$work/disk" && mkfs.ext4 -q "$work/disk"
    probe_bundle /bin/sh -c 'cat /mnt/file; echo clone >/mnt/file; sync; cat /mnt/file'
    freeze_at_pre_exec --disk "$work/disk,mount=/mnt" --warmup 'echo baked >/mnt/file'
    head -c 1M /dev/urandom | dd of="$work/disk" conv=notrunc status=none
    local n
    for n in 1 2; do
        thaw_it
        expect_status 0
        expect_out "baked
clone"
    done
    run_thaw snapshot verify "$work/snap"
    expect_status 0
}

test_a_card_gets_another_interface_and_address_at_restore() {
    unshare --net --mount bash -euo pipefail -c '. "$1/lib.sh"; . "$1/snapshot.sh"; relocate_card' - "$here"
}

relocate_card() {
    busybox tunctl -t tap0 >/dev/null && busybox tunctl -t tap7 >/dev/null
    busybox ip addr add 10.9.7.1/24 dev tap7 && busybox ip link set tap7 up
    busybox ip link set tap0 up
    probe_bundle /bin/sh -c 'cat /sys/class/net/eth0/address; echo hello | nc 10.9.7.1 9999'
    freeze_at_pre_exec --net tap=tap0,ip=10.9.0.2/24
    timeout 60 busybox nc -l -p 9999 >"$work/heard" &
    thaw_it --net eth0=tap7,mac=02:00:00:00:00:77,ip=10.9.7.2/24
    wait
    expect_status 0
    expect_out "02:00:00:00:00:77"
    [ "$(cat "$work/heard")" = hello ] || fail "the host heard: $(cat "$work/heard")"
    thaw_it -- /bin/sh -c 'ip addr show eth0 | grep -o "10.9.0.2/24"'
    expect_out "10.9.0.2/24"
    busybox tunctl -d tap0 >/dev/null
    thaw_it
    expect_failure usage "no such interface"
}

test_a_snapshot_goes_through_a_pipe() {
    probe_bundle /bin/echo through the pipe
    run_bundle --snapshot-on-pre-exec --snapshot-out -
    expect_status 0
    mv "$work/out" "$work/stream" && mv "$work/stream" "$work/in"
    run_thaw restore - -- /bin/echo from the stream
    expect_status 0
    expect_out "from the stream"
    run_thaw snapshot unpack - "$work/snap"
    expect_status 0
    rm "$work/in"
    thaw_it
    expect_out "through the pipe"
    run_thaw snapshot verify "$work/snap"
    expect_status 0
}

test_a_packed_snapshot_is_restored_as_it_is() {
    probe_bundle /bin/echo
    freeze_at_pre_exec
    run_thaw snapshot pack "$work/snap" "$work/packed"
    expect_status 0
    [ ! -e "$work/packed/memory" ] && [ -e "$work/packed/memory.zst" ] || fail "not packed"
    run_thaw snapshot verify "$work/packed"
    expect_status 0
    run_thaw restore "$work/packed" -- /bin/echo unpacked
    expect_status 0
    expect_out unpacked
    run_thaw snapshot unpack "$work/packed" "$work/again"
    expect_status 0
    cmp "$work/snap/memory" "$work/again/memory" || fail "not the same memory"
}

test_a_recorded_working_set_is_what_a_cold_restore_reads() {
    probe_bundle /bin/echo
    freeze_at_pre_exec
    run_thaw snapshot record-workingset "$work/snap" -- /bin/echo recorded
    expect_status 0
    expect_out recorded
    local mode
    for mode in prefetch eager map auto; do
        thaw_it --memory $mode -- /bin/echo "$mode"
        expect_status 0
        expect_out "$mode"
    done
    thaw_it --memory prefetch --no-io-uring -- /bin/echo by threads
    expect_out "by threads"
    thaw_it --explain
    expect_out_has "plan"
    run_thaw snapshot verify "$work/snap"
    expect_status 0
    [ "$("$build/thaw" snapshot inspect --json "$work/snap" | jq '.working_set.pages > 100')" = true ] ||
        fail "a working set of next to nothing"
}

test_the_console_goes_to_the_file_of_each_clone() {
    probe_bundle /bin/sh -c 'echo "<2>clone $N speaks" >/dev/kmsg; echo "done"'
    change '.linux.devices = [{path: "/dev/kmsg", type: "c", major: 1, minor: 11, fileMode: 438}]
        | .linux.resources.devices += [{allow: true, access: "rwm"}]'
    freeze_at_pre_exec --cmdline-extra loglevel=4
    local n
    for n in 1 2; do
        thaw_it --console "$work/console.$n" --env N=$n
        expect_status 0
        expect_out "done"
        grep -q "clone $n speaks" "$work/console.$n" || fail "the console of clone $n is silent"
    done
}

test_the_kernel_of_a_clone_speaks_on_stderr() {
    probe_bundle /bin/sh -c 'echo "<2>the kernel speaks" >/dev/kmsg; echo "done"'
    change '.linux.devices = [{path: "/dev/kmsg", type: "c", major: 1, minor: 11, fileMode: 438}]
        | .linux.resources.devices += [{allow: true, access: "rwm"}]'
    freeze_at_pre_exec --cmdline-extra loglevel=4
    thaw_it
    expect_status 0
    expect_out "done"
    expect_err_has "the kernel speaks"
}

test_a_clone_on_a_terminal_knows_its_size() {
    probe_bundle /bin/sh -c 'sleep 0.2; busybox stty size'
    change '.process.terminal = true'
    freeze_at_pre_exec
    script -qec "stty rows 33 cols 77; $build/thaw restore $work/snap" /dev/null \
        </dev/null >"$work/out" 2>"$work/err"
    expect_out_has "33 77"
}

test_an_image_keeps_its_entrypoint_in_its_clones() {
    probe_bundle /bin/echo entry point default
    change '.annotations["dev.thaw.entrypoint-args"] = "3"'
    freeze_at_pre_exec
    thaw_it
    expect_out "entry point default"
    thaw_it -- other words
    expect_out "entry point other words"
}

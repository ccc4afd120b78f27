# SPDX-License-Identifier: Apache-2.0
# Real Linux guests: the handshake between init and monitor that snapshots use, driven by
# tests/integration/hold.c, which rings the doorbell in the same VM.

# hold OPTION... [-- ARG...]: on the bundle; ARG is the invocation of the step `resume`.
hold() {
    local options=()
    while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1") && shift; done
    [ $# -eq 0 ] && set -- -- /bin/false
    shift
    status=0
    timeout -k 5 90 "$build/hold" "${options[@]}" "$build/vmlinux" "$work/bundle" "$@" \
        </dev/null >"$work/out" 2>"$work/err" || status=$?
}

# In a loop without a process of its own, until more than a second passed between two rounds: the
# machine stood still. Numbers are hundredths of a second.
watch_for_a_pause='
now() { read -r up idle </proc/uptime; echo $((${up%.*} * 100 + 1${up#*.} - 100)); }
await_a_pause() {
    before=$(now)
    while after=$(now); [ $((after - before)) -lt 100 ]; do before=$after; done
}
'

test_a_held_guest_waits_and_then_runs_the_mailboxs_invocation() {
    sh_bundle 'echo "the bundle ran its own args"'
    hold -- /bin/sh -c 'echo "$COLOR|$(hostname)|$(cat)|${#THAW_GENERATION}"; exit 11'
    expect_status 11
    expect_out "from the mailbox|clone|a line of stdin|32"
}

test_a_held_guest_may_be_told_to_hold_again() {
    sh_bundle 'echo "the bundle ran its own args"'
    hold --steps held,silence,ring-hold,held-again,silence,ring-hold,held-again,resume,end,cheap \
        -- /bin/sh -c 'echo "$COLOR|$(hostname)|$(cat)"; exit 11'
    expect_status 11
    expect_out "from the mailbox|clone|a line of stdin"
}

test_a_resume_with_ports_is_cheap() {
    sh_bundle 'echo "the bundle ran its own args"'
    hold --streams --steps held,silence,resume,end,cheap -- /bin/sh -c 'cat; exit 11'
    expect_status 11
    expect_out "a line of stdin"
}

test_a_resume_that_opens_the_port_of_stdin_is_cheap() {
    sh_bundle 'cat; exit 12'
    hold --streams --steps held,silence,ring,end,cheap
    expect_status 12
    expect_out ""
}

test_a_held_guest_answers_quiesce_and_goes_on_being_held() {
    sh_bundle true
    hold --steps held,quiesce=5,silence,quiesce=6,resume,end,cheap -- /bin/echo resumed
    expect_status 0
    expect_out resumed
}

test_a_running_workload_stands_still_from_quiesce_to_doorbell() {
    sh_bundle "$watch_for_a_pause"'
        echo "before $(hostname)"; await_a_pause; echo "after $(hostname)"; exit 13'
    hold --boot plain --steps exec,sleep=1500,quiesce=1,silence,quiesce=2,sleep=1500,ring,end
    expect_status 13
    expect_out "before runc
after clone"
}

test_with_ports_too() {
    sh_bundle "$watch_for_a_pause"'echo before; await_a_pause; echo after; exit 13'
    hold --streams --boot plain --steps exec,sleep=1500,quiesce=1,silence,sleep=1500,ring,end
    expect_status 13
    expect_out "before
after"
}

test_with_a_terminal_too() {
    sh_bundle "$watch_for_a_pause"'
        stty -onlcr; echo before; await_a_pause; echo after; exit 13' '.process.terminal = true'
    hold --streams --boot plain --steps exec,sleep=1500,quiesce=1,silence,sleep=1500,ring,end
    expect_status 13
    expect_out "before
after"
}

test_a_workload_can_be_quiesced_again_and_again() {
    sh_bundle "$watch_for_a_pause"'await_a_pause; await_a_pause; await_a_pause; exit 14'
    hold --boot plain --steps exec,sleep=1500,quiesce=1,sleep=1500,ring,sleep=1500,quiesce=2,sleep=1500,ring,sleep=1500,quiesce=3,sleep=1500,ring,end
    expect_status 14
}

# The kernel makes its own at the first read; what comes after a doorbell is another each time.
test_boot_id_is_new_after_every_doorbell() {
    sh_bundle "$watch_for_a_pause"'
        id=/proc/sys/kernel/random/boot_id
        cat $id; await_a_pause; cat $id; await_a_pause; cat $id; cat $id'
    hold --boot plain --steps exec,sleep=1500,quiesce=1,sleep=1500,ring,sleep=1500,quiesce=2,sleep=1500,ring,end
    expect_status 0
    [ "$(wc -l <"$work/out")" -eq 4 ] || fail "not four times"
    [ "$(sort -u "$work/out" | wc -l)" -eq 3 ] || fail "not three different ones"
    ! grep -qvE '^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' "$work/out" ||
        fail "not all are UUIDs of version 4"
}

test_a_workload_without_proc_is_quiesced_all_the_same() {
    sh_bundle 'i=0; while [ $i -lt 6 ]; do i=$((i + 1)); sleep 1; done; exit 15' \
        '.mounts = []' 'del(.linux.readonlyPaths, .linux.maskedPaths)'
    hold --boot plain --steps exec,quiesce=1,silence,ring,end
    expect_status 15
}

test_a_mailbox_that_does_not_fit_ends_the_guest() {
    sh_bundle 'sleep 100'
    hold --boot plain --steps exec,quiesce=1,spoiled,end
    expect_status 125
    expect_err_has "mailbox: not valid after the doorbell"
}

test_what_a_warm_up_leaves_running_stands_still_while_held() {
    sh_bundle true '.root.readonly = false'
    hold --warmup 'cat /proc/sys/kernel/random/boot_id >/tmp/id
        (while :; do echo >>/tmp/ticks; done) &' --steps held,silence,sleep=500,resume,end -- /bin/sh -c '
        [ "$(cat /proc/sys/kernel/random/boot_id)" != "$(cat /tmp/id)" ] && echo another
        one=$(wc -l </tmp/ticks); sleep 1; two=$(wc -l </tmp/ticks)
        [ "$two" -gt "$one" ] && echo "it goes on"'
    expect_status 0
    expect_out "another
it goes on"
}

test_boot_id_is_new_where_a_warm_up_was_interrupted() {
    sh_bundle 'cat /proc/sys/kernel/random/boot_id /tmp/id | uniq | wc -l' '.root.readonly = false'
    hold --boot beat --warmup 'cat /proc/sys/kernel/random/boot_id >/tmp/id; sleep 4' \
        --steps beats=20,quiesce=1,silence,ring,end
    expect_status 0
    expect_out 2
}

# ---- heartbeats -----------------------------------------------------------------------------

test_heartbeats_come_while_they_are_asked_for_and_only_then() {
    sh_bundle "$watch_for_a_pause"'await_a_pause; await_a_pause; exit 16'
    hold --boot beat --steps exec,beats=5,sleep=1500,quiesce=1,silence,sleep=1500,mute,ring,sleep=1500,mute,quiesce=2,silence,sleep=1500,ring-beat,end,beaten=6
    expect_status 16
}

test_heartbeats_come_before_a_hold_and_stop_in_it() {
    sh_bundle true
    hold --warmup 'sleep 1' --boot hold,beat --steps beats=5,held,silence,resume,end -- /bin/echo resumed
    expect_status 0
    expect_out resumed
}

test_nothing_beats_unasked() {
    sh_bundle 'sleep 1'
    hold --boot plain --steps exec,end,mute
    expect_status 0
}

# ---- listeners ------------------------------------------------------------------------------

test_listeners_are_told_by_their_ports() {
    sh_bundle 'httpd -p 127.0.0.1:8080; sleep 1; httpd -p "[::]:8081"; sleep 1; exit 17'
    hold --boot listeners --steps exec,listener=8080,listener=8081,end
    expect_status 17
}

test_a_listener_is_told_again_to_who_asks_again() {
    sh_bundle "$watch_for_a_pause"'httpd -p 8080; await_a_pause; sleep 1; exit 18'
    hold --boot listeners \
        --steps exec,listener=8080,sleep=1500,quiesce=1,silence,sleep=1500,ring-listeners,told-again,end
    expect_status 18
}

no_pid_namespace='del(.linux.namespaces[] | select(.type == "pid"))'

test_a_daemon_that_does_not_listen_is_told_and_lives_on() {
    sh_bundle '(sleep 3; echo late) & exit 0' "$no_pid_namespace"
    hold --boot listeners --steps exec,no-listener,quiesce=1,silence,ring,end
    expect_status 0
    expect_out late
}

test_a_daemon_that_listens_lives_on_after_the_doorbell() {
    sh_bundle 'httpd -p 8080; (sleep 4; killall httpd; echo late) & sleep 2' "$no_pid_namespace"
    hold --boot listeners --steps exec,listener=8080,quiesce=1,silence,ring,end
    expect_status 0
    expect_out late
}

test_a_signal_reaches_the_daemon_when_the_first_process_is_gone() {
    sh_bundle '(trap "echo caught; exit" TERM; while :; do sleep 1; done) & exit 0' \
        "$no_pid_namespace"
    hold --boot listeners --steps exec,no-listener,sleep=1500,signal=15,end
    expect_status 0
    expect_out_has caught
}

test_without_listeners_asked_for_a_daemon_ends_with_the_first_process() {
    sh_bundle '(sleep 3; echo late) & exit 0' "$no_pid_namespace"
    hold --boot plain --steps exec,end
    expect_status 0
    expect_out ""
}

test_a_first_process_that_fails_ends_its_daemons() {
    sh_bundle '(sleep 3; echo late) & exit 19' "$no_pid_namespace"
    hold --boot listeners --steps exec,end
    expect_status 19
    expect_out ""
}

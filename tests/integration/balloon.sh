# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# Memory that a guest no longer uses goes back to the host.

# in_mib FILE FIELD: what a file of /proc says in kB.
in_mib() {
    awk -v field="$2:" '$1 == field { print int($2 / 1024) }' "$1"
}

# A guest of 512 MiB that runs the script and then stays until say_goodbye.
start_guest() {
    sh_bundle "$1; echo ready; cat"
    mkfifo "$work/in"
    exec 3<>"$work/in"
    "$build/thaw" run --bundle "$work/bundle" --memory 512M --timeout 120 "${@:2}" \
        <"$work/in" >"$work/out" 2>"$work/err" 3>&- &
    thaw=$!
    wait_for "$work/out" ready
}

say_goodbye() {
    exec 3>&-
    wait "$thaw" || fail "the guest did not end well"
}

# Waits until the monitor's memory is no more than so many MiB.
wait_for_rss() {
    local i
    for i in $(seq 300); do
        rss=$(in_mib "/proc/$thaw/smaps_rollup" Rss)
        [ "$rss" -gt "$1" ] || return 0
        sleep 0.1
    done
    fail "the monitor still has $rss MiB; $1 were to be left ($i tries)"
}

test_memory_that_a_guest_has_freed_goes_back_unasked() {
    start_guest 'dd if=/dev/zero of=/dev/null bs=256M count=1 2>/dev/null'
    local most
    most=$(in_mib "/proc/$thaw/status" VmHWM)
    [ "$most" -ge 256 ] || fail "the guest never had 256 MiB, but $most"
    wait_for_rss $((most - 200))
    say_goodbye
}

# A balloon of 128 MiB fills, and empties when the guest needs what it took.
test_a_balloon_takes_memory_and_gives_it_back_when_it_runs_out() {
    # shellcheck disable=SC2016
    start_guest 'given_up() { awk "/^balloon_$1/ { print \$2 }" /proc/vmstat; }
        until [ "$(given_up inflate)" -ge 32768 ]; do sleep 0.1; done; echo inflated
        dd if=/dev/zero of=/dev/null bs=400M count=1 2>/dev/null && echo got it
        [ "$(given_up deflate)" -gt 0 ] && echo deflated' --balloon 128M
    expect_out "inflated
got it
deflated
ready"
    say_goodbye
}

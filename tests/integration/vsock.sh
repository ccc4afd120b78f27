# SPDX-License-Identifier: Apache-2.0
# Sockets between host programs and a Linux guest. The same program is at both ends; it checks
# every byte. Each connection stops sending when it has sent all, and gets the rest back: that is
# the half-close, both ways.

# A bundle with a shell and the peer, running a script.
peer_bundle() {
    mkdir -p "$work"/rootfs/{bin,dev,proc,sys,tmp}
    cp /bin/busybox "$work/rootfs/bin/sh"
    cp "$build/vsock-peer" "$work/rootfs/bin/"
    sh_bundle "$1" ".root.path = \"$work/rootfs\""
}

peer() {
    timeout 60 "$build/vsock-peer" "$@" 2>&1
}

test_200_host_connections_at_once_carry_every_byte_both_ways() {
    peer_bundle 'vsock-peer echo vsock:4294967295:5000 202'
    run_bundle --vsock "$work/v" &
    wait_for "$work/out" listening
    [ "$(peer refused "hybrid:$work/v:5001")" = refused ] || fail "port 5001 was not refused"
    [ "$(peer load "hybrid:$work/v:5000" 200 30000)" = \
        "200 connections, 30000 bytes each way, all as sent" ] || fail "load"
    [ "$(peer load "hybrid:$work/v:5000" 2 1000000)" = \
        "2 connections, 1000000 bytes each way, all as sent" ] || fail "bulk"
    wait
    expect_out "listening
echoed 202"
    [ ! -e "$work/v" ] || fail "the socket file is still there"
}

test_guest_connections_reach_the_sockets_of_their_ports() {
    peer_bundle 'vsock-peer refused vsock:2:6001 && vsock-peer load vsock:2:6000 50 30000 &&
        vsock-peer load vsock:2:6000 1 1000000'
    peer echo "unix:$work/v_6000" 51 >"$work/echo" &
    wait_for "$work/echo" listening
    run_bundle --vsock "$work/v,cid=77"
    expect_status 0
    expect_out "refused
50 connections, 30000 bytes each way, all as sent
1 connections, 1000000 bytes each way, all as sent"
    wait
    grep -qx 'echoed 51' "$work/echo" || fail "the host's end: $(cat "$work/echo")"
}

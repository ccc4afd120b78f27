# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# Guests on TAP interfaces. Every one has a network namespace of its own, so all of them may have a
# "tap0" and the same addresses, as clones of one snapshot do.

readonly with_ping='.process.capabilities |= with_entries(.value += ["CAP_NET_RAW"])'

# alone FUNCTION: runs it where there is nothing but tap0, with 10.9.0.1 on the host's side.
alone() {
    local root=()
    [ "$(id -u)" -eq 0 ] || root=(--map-root-user)
    # shellcheck disable=SC2016
    unshare --net --mount "${root[@]}" bash -euo pipefail -c '. "$1/lib.sh"; . "$1/net.sh"; network; "$2"' - "$here" "$1"
}

network() {
    busybox tunctl -t tap0 >/dev/null
    busybox ip link set lo up
    busybox ip addr add 10.9.0.1/24 dev tap0
    busybox ip link set tap0 mtu "${mtu:-1500}" up
}

# Serves the file "data", that many random bytes, over HTTP.
serve() {
    mkdir -p "$work/www"
    head -c "$1" /dev/urandom >"$work/www/data"
    busybox httpd -f -p 10.9.0.1:80 -h "$work/www" &
    # shellcheck disable=SC2064
    trap "kill $!" EXIT
}

# Runs the guest in the background until say_goodbye: its stdin stays open till then.
start_guest() {
    mkfifo "$work/in"
    exec 3<>"$work/in"
    { run_bundle "$@" && exit "$status"; } 3>&- &
    guest=$!
}

# The script ends in `cat; exit 5`, so 5 says that it came to its end.
say_goodbye() {
    exec 3>&-
    status=0
    wait "$guest" || status=$?
    expect_status 5
}

fetch_and_serve() {
    serve 2M
    # shellcheck disable=SC2016
    sh_bundle 'set -e; cd /sys/class/net/eth0; echo "mac $(cat address) mtu $(cat mtu)"
        ping -c 3 -i 0.2 -W 20 10.9.0.1 >/dev/null; cd /dev/shm
        wget -q http://10.9.0.1/data; sha256sum data
        httpd -p 80; echo serving; cat; exit 5' "$with_ping"
    start_guest --net tap=tap0,mac=02:00:00:00:00:09,ip=10.9.0.2/24,gw=10.9.0.1
    wait_for "$work/out" serving
    expect_out_has "mac 02:00:00:00:00:09 mtu 1500"
    expect_out_has "$(sha256sum <"$work/www/data" | cut -d ' ' -f 1)"

    busybox ping -c 3 -i 0.2 -W 20 10.9.0.2 >"$work/ping" || fail "the guest does not answer"
    busybox wget -q -O "$work/back" http://10.9.0.2/data || fail "the guest does not serve"
    cmp "$work/back" "$work/www/data" || fail "what the guest serves is not what it fetched"
    say_goodbye
}

test_host_and_guest_ping_and_send_megabytes_to_each_other() {
    alone fetch_and_serve
}

# Waits, with its guest running, until its twin's is too.
fetch_own() {
    serve 1M
    # shellcheck disable=SC2016
    sh_bundle 'cd /dev/shm; echo "mtu $(cat /sys/class/net/eth0/mtu)"; read line
        wget -q http://10.9.0.1/data; sha256sum <data; cat; exit 5'
    start_guest --net tap=tap0,ip=10.9.0.2/24
    wait_for "$work/out" "mtu $mtu"
    echo up >"$work/../$twin.up"
    wait_for "$work/../$other.up" up
    echo go >&3
    wait_for "$work/out" "$(sha256sum <"$work/www/data")"
    say_goodbye
}

test_guests_with_the_same_addresses_and_other_frame_sizes_live_in_two_namespaces() {
    local both=$work
    mkdir "$both/a" "$both/b"
    work=$both/a twin=a other=b mtu=1500 alone fetch_own &
    local first=$!
    work=$both/b twin=b other=a mtu=9000 alone fetch_own
    wait "$first" || fail "the first of the two failed"
}

# usage: refused NAME SENTENCE VALUE...: no guest comes as far as its kernel.
refused() {
    run_thaw run --kernel "$build/vmlinux" "${@:3}"
    expect_failure "$1" "$2"
}

wrong_taps() {
    refused usage "tap=nowhere: there is no such interface; make it with: ip tuntap add dev" \
        --net tap=nowhere
    refused usage "tap=lo: not a TAP interface" --net tap=lo
    refused usage "longer than the 15 characters" --net tap=a-name-of-16-char
    refused usage "fd=0: not a TAP interface" --net fd=0
    refused usage "fd=77: not an open descriptor" --net fd=77
    refused usage "the same interface was given twice" --net tap=tap0 --net tap=tap0
    "$build/thaw" run --kernel "$build/guests/spin.elf" --net tap=tap0 >/dev/null 2>&1 &
    until readlink /proc/$!/fd/* | grep -q tun; do sleep 0.1; done
    refused io "tap=tap0: in use by another program" --net tap=tap0
    kill -QUIT $!
    wait $! || true
    local address
    for address in ip=10.9.0.2 ip=10.9.0.2/33 ip=10.9.0/24 gw=10.9.0.1 \
        ip=10.9.0.2/24,gw=10.8.0.1 ip=10.9.0.2/24; do
        refused usage "--net " --net "tap=tap0,$address"
    done
    mount -t tmpfs none /dev/net
    refused io "/dev/net/tun: No such file or directory; try: modprobe tun" --net tap=tap0
}

test_what_is_wrong_with_a_tap_is_said_with_its_mend() {
    alone wrong_taps
}

# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the parts with Linux guests share: the same kernel for all, bundles, QEMU and how it is saved.
# shellcheck source-path=SCRIPTDIR
. "${BASH_SOURCE[0]%/*}/lib.sh"

# Where it is read from costs every monitor the same.
readonly kernel=$work/vmlinux memory=128M
cp build/vmlinux "$kernel"
cp build/thaw-image "$work/"

# make_bundle PROGRAM ARGUMENT...: the program, static, is all of its root file system.
make_bundle() {
    local args
    args=$(printf '%s\n' "/bin/${1##*/}" "${@:2}" | jq -R . | jq -s .)
    mkdir -p "$work/bundle/rootfs/bin"
    cp "$1" "$work/bundle/rootfs/bin/"
    (cd "$work/bundle" && runc spec)
    jq --argjson args "$args" '.process.terminal = false | .process.args = $args' \
        "$work/bundle/config.json" >"$work/config"
    mv "$work/config" "$work/bundle/config.json"
}

# Its standard error, with the JSON, is in $work/json then. bench-guest says one useful line.
capture_thaw() {
    rm -rf "$work/snapshot"
    timeout 120 "$thaw" run --bundle "$work/bundle" --kernel "$kernel" --memory $memory \
        --snapshot-on-pre-exec --snapshot-out "$work/snapshot" --json </dev/null 2>"$work/json" \
        >/dev/null || { cat "$work/json" >&2; return 1; }
}

# ---- a guest for every monitor: an initramfs whose init says `tick` each millisecond -------------

readonly tick_cmdline="console=ttyS0 loglevel=1 reboot=t panic=-1" ticks=$work/ticks.initramfs
make_ticks() {
    mkdir -p "$work/root"
    cp build/bench-guest "$work/root/init"
    (cd "$work/root" && echo init | cpio --quiet -o -H newc) >"$ticks"
}

# wait_for WORD FILE PID: at most a minute, and no longer than the process lives.
wait_for() {
    local i
    for ((i = 0; i < 600; i++)); do
        ! grep -q "$1" "$2" 2>/dev/null || return 0
        kill -0 "$3" 2>/dev/null || break
        sleep 0.1
    done
    say "no $1 after $((i / 10)) s"
    return 1
}

# ---- QEMU microvm -----------------------------------------------------------------------------

# What thaw has, too, and everything left out that microvm lets one leave out.
readonly qemu=(qemu-system-x86_64 -accel kvm -cpu host -m $memory
    -M "microvm,pit=on,pic=on,rtc=off,isa-serial=on,x-option-roms=off"
    -nodefaults -no-user-config -nographic -no-reboot -kernel "$kernel")
readonly qemu_ticks=("${qemu[@]}" -initrd "$ticks" -append "$tick_cmdline")

# save_qemu URI CAPABILITY OPTION...: boots the ticking guest, migrates it to URI while it runs, and
# leaves what `info migrate` says in $work/qemu.said. CAPABILITY may be empty.
save_qemu() {
    local uri=$1 capability=$2 ask pid i rc=1
    rm -f "$work/qemu.ticks" "$work/qemu.ask" "$work/qemu.said"
    mkfifo "$work/qemu.ask"
    timeout 120 "${qemu_ticks[@]}" "${@:3}" -serial "file:$work/qemu.ticks" -monitor stdio \
        <"$work/qemu.ask" >"$work/qemu.said" &
    pid=$!
    exec {ask}>"$work/qemu.ask"
    if wait_for tick "$work/qemu.ticks" "$pid"; then
        [ -z "$capability" ] || echo "migrate_set_capability $capability on" >&"$ask"
        # Without the limit that it has for networks.
        printf '%s\n' "migrate_set_parameter max-bandwidth 100G" "migrate -d \"$uri\"" >&"$ask"
        for ((i = 0; i < 300 && rc != 0; i++)); do
            sleep 0.1
            echo "info migrate" >&"$ask"
            ! grep -q 'status: completed' "$work/qemu.said" || rc=0
        done
        sleep 0.2
    fi
    echo quit >&"$ask" || true
    exec {ask}>&-
    wait "$pid" || true
    return $rc
}

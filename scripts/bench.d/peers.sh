# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The peers that are measured where their programs are given: FIRECRACKER and CLOUD_HYPERVISOR, paths.
# Same kernel, initramfs, command line, memory and one CPU, no other devices. The lines are those of
# Firecracker's docs/getting-started.md and docs/snapshotting/snapshot-support.md, and of Cloud
# Hypervisor's docs/snapshot_restore.md and its API's description.
# shellcheck source-path=SCRIPTDIR
# shellcheck source=linux.sh
: "${kernel:?linux.sh comes first}"

peers=()
peer_command=()
readonly peer_names=(firecracker cloud_hypervisor)

# Sets `peers` to those that are there.
find_peers() {
    local peer variable
    peers=()
    for peer in "${peer_names[@]}"; do
        variable=${peer^^}
        [ ! -x "${!variable-}" ] || peers+=("$peer")
    done
}

# missing_peers PREFIX: says of those that are not there why PREFIX_PEER is missing.
missing_peers() {
    local peer variable
    for peer in "${peer_names[@]}"; do
        variable=${peer^^}
        if [ -z "${!variable-}" ]; then
            missing "$1_$peer" "no $variable=PATH was given"
        elif [ ! -x "${!variable}" ]; then
            missing "$1_$peer" "$variable=${!variable} is no program"
        fi
    done
}

readonly peer_mib=${memory%M}

firecracker_config() {
    jq -n --arg kernel "$kernel" --arg initrd "$ticks" --arg args "$tick_cmdline" \
        --argjson mib "$peer_mib" \
        '{"boot-source": {kernel_image_path: $kernel, initrd_path: $initrd, boot_args: $args},
          drives: [], "machine-config": {vcpu_count: 1, mem_size_mib: $mib}}' >"$work/firecracker.json"
}

# peer_boot PEER: sets `peer_command` to what boots the ticking guest, its console on stdout.
peer_boot() {
    case $1 in
    firecracker)
        firecracker_config
        peer_command=("$FIRECRACKER" --no-api --config-file "$work/firecracker.json")
        ;;
    cloud_hypervisor)
        peer_command=("$CLOUD_HYPERVISOR" --kernel "$kernel" --initramfs "$ticks"
            --cmdline "$tick_cmdline" --cpus boot=1 --memory "size=$memory"
            --serial tty --console off)
        ;;
    esac
}

# peer_ask METHOD PATH BODY: of the one that runs.
peer_ask() { build/bench-ask "$work/peer.socket" "$@"; }

# The requests that freeze the guest into $work/PEER.
freeze_firecracker() {
    peer_ask PATCH /vm '{"state": "Paused"}' &&
        peer_ask PUT /snapshot/create "$(jq -nc --arg state "$work/firecracker/state" \
            --arg memory "$work/firecracker/memory" \
            '{snapshot_type: "Full", snapshot_path: $state, mem_file_path: $memory}')"
}
freeze_cloud_hypervisor() {
    peer_ask PUT /api/v1/vm.pause "" &&
        peer_ask PUT /api/v1/vm.snapshot "{\"destination_url\": \"file://$work/cloud_hypervisor\"}"
}

# save_peer PEER: boots its guest until it ticks, and freezes it.
save_peer() {
    local pid rc=1
    peer_boot "$1"
    [ "$1" != firecracker ] || peer_command=("$FIRECRACKER" --config-file "$work/firecracker.json")
    rm -rf "$work/peer.socket" "${work:?}/$1"
    mkdir "$work/$1"
    timeout 120 "${peer_command[@]}" "$(socket_option "$1")" "$work/peer.socket" \
        </dev/null >"$work/peer.ticks" 2>&1 &
    pid=$!
    if wait_for tick "$work/peer.ticks" "$pid" && "freeze_$1"; then rc=0; fi
    kill "$pid" 2>/dev/null || true
    wait "$pid" || true
    return $rc
}

socket_option() { if [ "$1" = firecracker ]; then echo --api-sock; else echo --api-socket; fi; }

# peer_restore PEER: sets `peer_command` to what restores that guest and lets it run on.
peer_restore() {
    local socket=$work/peer.socket
    case $1 in
    firecracker)
        peer_command=(build/bench-ask "$socket" PUT /snapshot/load "$(jq -nc \
            --arg state "$work/firecracker/state" --arg memory "$work/firecracker/memory" \
            '{snapshot_path: $state, mem_backend: {backend_type: "File", backend_path: $memory},
              resume_vm: true}')" "$FIRECRACKER" --api-sock "$socket")
        ;;
    cloud_hypervisor)
        peer_command=(build/bench-ask "$socket" PUT /api/v1/vm.resume ""
            "$CLOUD_HYPERVISOR" --api-socket "$socket"
            --restore "source_url=file://$work/cloud_hypervisor")
        ;;
    esac
}

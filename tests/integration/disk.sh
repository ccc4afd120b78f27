# SPDX-License-Identifier: Apache-2.0
# Disks: what a guest writes is on the host, whole, and what it must not write stays as it was.

# Where large files go: in the rig, whose /tmp is memory, its own disk.
disk_directory() {
    if [ -n "${THAW_NESTED-}" ]; then
        mktemp -d /scratch/disk.XXXXXX
    else
        mkdir "$work/disk" && echo "$work/disk"
    fi
}

# ext4_disk PATH SIZE [OPTION...]
ext4_disk() {
    truncate -s "$2" "$1"
    PATH=$PATH:/sbin:/usr/sbin mke2fs -q -F -t ext4 "${@:3}" "$1" || fail "mke2fs"
}

expect_clean() {
    PATH=$PATH:/sbin:/usr/sbin e2fsck -fn "$1" >"$work/e2fsck" 2>&1 ||
        fail "e2fsck: $(cat "$work/e2fsck")"
}

# with_disk OPTIONS SCRIPT [FILTER...]: a bundle that has /dev/vda mounted at /data.
with_disk() {
    local options=$1
    sh_bundle "$2" ".mounts += [{destination: \"/data\", type: \"ext4\", source: \"/dev/vda\",
        options: [\"$options\"]}]" \
        '.linux.resources.devices += [{allow: true, type: "b", access: "rw"}]' "${@:3}"
}

# 33 copies of a part whose size is no round number, so that no two sectors at a like place are alike.
# The guest says what a part is, the host looks at what has come of it, the next guest reads it all.
test_a_gigabyte_written_is_whole_after_a_second_boot() {
    local disk limit=600 size=$((32 * 1024 * 1024 + 4608)) sum
    disk=$(disk_directory)/image
    ext4_disk "$disk" 1200M
    sh_bundle "set -e; head -c $size /dev/urandom >/dev/shm/part; md5sum </dev/shm/part
        for i in \$(seq 33); do cat /dev/shm/part >>/data/big; done"
    run_bundle --memory 192M --disk "$disk,mount=/data"
    expect_status 0
    expect_clean "$disk"

    on_disk() { PATH=$PATH:/sbin:/usr/sbin debugfs -R "cat /big" "$disk" 2>/dev/null; }
    on_disk | head -c "$size" >"${disk%/*}/part" || true # debugfs finds its pipe closed
    [ "$(md5sum <"${disk%/*}/part")" = "$(cat "$work/out")" ] || fail "not what the guest wrote"
    sum=$(for _ in $(seq 33); do cat "${disk%/*}/part"; done | md5sum)
    [ "$(on_disk | md5sum)" = "$sum" ] || fail "the host does not see the whole file"

    sh_bundle 'md5sum </data/big'
    run_bundle --memory 192M --disk "$disk,ro,mount=/data"
    expect_status 0
    expect_out "$sum"
    rm -r "${disk%/*}"
}

# By any user, without a word in config.json; the second guest could not mount a disk that needs
# recovery.
test_a_disk_is_mounted_for_the_workload_and_clean_afterwards() {
    ext4_disk "$work/image" 16M
    sh_bundle 'echo first >/data/file && echo done; cat /data/file' \
        '.process.user = {uid: 0, gid: 0}'
    run_bundle --disk "$work/image,mount=/data"
    expect_status 0
    expect_out "$(printf 'done\nfirst')"
    expect_clean "$work/image"
    run_bundle --disk "$work/image,ro,mount=/data"
    expect_out first
    grep -qi 'read-only' "$work/err" || fail "it could be written to"
    truncate -s 1M "$work/blank"
    run_bundle --disk "$work/blank,mount=/data"
    expect_failure io
    grep -q 'neither an ext4 nor an EROFS file system (mkfs.ext4 makes one)' "$work/err" ||
        fail "the line"
}

test_what_was_synced_survives_a_guest_that_is_killed() {
    ext4_disk "$work/image" 64M
    with_disk rw 'echo kept >/data/file; sync; echo synced; sleep 1000'
    "$build/thaw" run --bundle "$work/bundle" --disk "$work/image" --timeout 300 \
        </dev/null >"$work/out" 2>"$work/err" &
    wait_for "$work/out" synced
    kill -KILL $!
    wait $! || true
    PATH=$PATH:/sbin:/usr/sbin e2fsck -fp "$work/image" >"$work/e2fsck" 2>&1 || [ $? -eq 1 ] ||
        fail "e2fsck: $(cat "$work/e2fsck")"
    [ "$(PATH=$PATH:/sbin:/usr/sbin debugfs -R "cat /file" "$work/image" 2>/dev/null)" = kept ] ||
        fail "the file is not there"
}

test_a_read_only_disk_refuses_writes() {
    ext4_disk "$work/image" 16M
    local before
    before=$(md5sum <"$work/image")
    with_disk ro 'cat /sys/block/vda/ro; mount -o remount,rw /data 2>/dev/null && echo writable
        cat /sys/block/vda/serial; echo; cat /sys/block/vda/size' \
        '.process.capabilities |= with_entries(.value += ["CAP_SYS_ADMIN"])'
    run_bundle --disk "$work/image,ro,serial=disk-17"
    expect_status 0
    expect_out "1
disk-17
32768"
    [ "$(md5sum <"$work/image")" = "$before" ] || fail "the image has changed"
}

# Two guests at once over one image, each with what it wrote itself.
test_writes_to_an_overlay_are_the_guests_own_and_gone_at_its_end() {
    local before first
    ext4_disk "$work/image" 16M
    before=$(md5sum <"$work/image")
    sh_bundle 'head -c 2m /dev/urandom >/data/big; sum=$(md5sum </data/big); sync
        echo 3 >/proc/sys/vm/drop_caches; [ "$(md5sum </data/big)" = "$sum" ] && echo same
        rm /data/big; sync; read -r line; ls /data' \
        '.process.user = {uid: 0, gid: 0}' '.linux.readonlyPaths = []'
    mkfifo "$work/lines"
    timeout 300 "$build/thaw" run --bundle "$work/bundle" --disk "$work/image,overlay,mount=/data" \
        <"$work/lines" >"$work/first" 2>"$work/first.err" &
    first=$!
    exec 9>"$work/lines"
    (wait_for "$work/first" same) || fail "$(cat "$work/first.err")"
    run_thaw run --kernel "$build/guests/hello.elf" --disk "$work/image"
    expect_failure io "--disk $work/image: in use by another VM"
    sh_bundle 'echo two >/data/other; ls /data' '.process.user = {uid: 0, gid: 0}'
    run_bundle --disk "$work/image,overlay,mount=/data"
    expect_status 0
    expect_out "$(printf 'lost+found\nother')"
    echo go >&9
    exec 9>&-
    wait "$first" || fail "the first guest: $? $(cat "$work/first.err")"
    [ "$(cat "$work/first")" = "$(printf 'same\nlost+found')" ] || fail "$(cat "$work/first")"
    [ "$(md5sum <"$work/image")" = "$before" ] || fail "the image has changed"
}

test_an_overlay_without_room_is_an_error_to_the_guest_and_to_nobody_else() {
    local before
    ext4_disk "$work/image" 32M
    before=$(md5sum <"$work/image")
    mkdir "$work/small"
    sh_bundle 'head -c 16m /dev/zero | tr "\\0" x >/data/big && sync /data/big && echo whole
        echo still here' '.process.user = {uid: 0, gid: 0}'
    local root=()
    [ "$(id -u)" -eq 0 ] || root=(--map-root-user)
    # shellcheck disable=SC2016
    unshare --mount "${root[@]}" sh -c 'mount -t tmpfs -o size=8m tmpfs "$1/small" || exit 99
        TMPDIR=$1/small timeout "$3" "$2/thaw" run --bundle "$1/bundle" \
            --disk "$1/image,overlay,mount=/data"' - "$work" "$build" "${limit:-60}" \
        </dev/null >"$work/out" 2>"$work/err" || true
    expect_out "still here"
    [ "$(md5sum <"$work/image")" = "$before" ] || fail "the image has changed"
    run_thaw run --kernel "$build/guests/hello.elf" --disk "$work/image,overlay,ro"
    expect_failure usage "--disk $work/image: either ro or overlay"
}

test_discarded_blocks_go_back_to_the_host() {
    local disk used
    disk=$(disk_directory)/image
    head -c 64M /dev/zero >"$disk"
    ext4_disk "$disk" 64M -E nodiscard
    [ "$(du -k "$disk" | cut -f 1)" -ge 65536 ] || fail "the image has holes already"
    with_disk rw 'fstrim /data' \
        '.process.capabilities |= with_entries(.value += ["CAP_SYS_ADMIN"])'
    run_bundle --disk "$disk"
    expect_status 0
    used=$(du -k "$disk" | cut -f 1)
    [ "$used" -lt 16384 ] || fail "$used KiB are still in use"
    expect_clean "$disk"
    rm -r "${disk%/*}"
}

test_a_writable_disk_belongs_to_one_guest() {
    truncate -s 1M "$work/image"
    "$build/thaw" run --kernel "$build/guests/spin.elf" --disk "$work/image" --timeout 60 \
        </dev/null >/dev/null 2>&1 &
    local first=$!
    await grep -q " OFDLCK .*:$(stat -c %i "$work/image") " /proc/locks
    run_thaw run --kernel "$build/guests/hello.elf" --disk "$work/image"
    expect_failure io "--disk $work/image: in use by another VM"
    run_thaw run --kernel "$build/guests/hello.elf" --disk "$work/image,ro"
    expect_failure io "--disk $work/image: in use by another VM"
    # It is free again at once, also when the first one had no chance to clean up.
    kill -KILL "$first"
    wait "$first" || true
    run_thaw run --kernel "$build/guests/hello.elf" --disk "$work/image"
    expect_status 0
}

test_files_that_cannot_be_disks_are_named() {
    refused() {
        run_thaw run --kernel "$build/guests/hello.elf" --disk "$1"
        expect_failure io "--disk ${1%,ro}: $2"
    }
    refused "$work/missing" "No such file or directory"
    : >"$work/empty"
    refused "$work/empty" "is empty"
    truncate -s 513 "$work/odd"
    refused "$work/odd" "its size, 513 bytes, is not a multiple of 512"
    refused "$work" "Is a directory"
    refused "$work,ro" "not a regular file or block device"
    refused /dev/null "not a regular file or block device"
    mkfifo "$work/fifo"
    refused "$work/fifo" "not a regular file or block device"
}

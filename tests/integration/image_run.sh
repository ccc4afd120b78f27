# SPDX-License-Identifier: Apache-2.0
# Guests whose root file system is an image of the store.

export THAW_IMAGES=$work/store

# import_rootfs OPTIONS...: the tests' busybox as the image "box".
import_rootfs() {
    run_thaw image import "dir:$(rootfs)" --name box "$@"
    expect_status 0
}

test_an_image_runs_its_own_command_as_its_user() {
    import_rootfs --user user --workdir /home/user --env WHO=me \
        --cmd '["sh", "-c", "id -u; pwd; echo $WHO; echo $HOME; hostname; exit 3"]'
    run_thaw run box
    expect_status 3
    expect_out "$(printf '1000\n/home/user\nme\n/home/user\nbox')"
}

test_variables_of_the_command_line_win() {
    import_rootfs --env WHO=me --env KEPT=kept
    FROM_HERE=here run_thaw run box --env WHO=you --env FROM_HERE --env NOT_HERE --env EMPTY= -- \
        sh -c 'echo $WHO $KEPT $FROM_HERE ${NOT_HERE-unset} ${EMPTY-unset}; env | grep -c ^WHO='
    expect_status 0
    expect_out "$(printf 'you kept here unset\n1')"
}

test_another_command_line_comes_after_the_entrypoint() {
    import_rootfs --entrypoint '["echo", "entry"]' --cmd '["cmd"]'
    run_thaw run box -- a "b c" --memory
    expect_status 0
    expect_out "entry a b c --memory"
    bundle
    run_bundle -- echo plain bundle
    expect_status 0
    expect_out "plain bundle"
}

test_writes_to_an_image_are_gone_with_the_guest() {
    import_rootfs
    run_thaw run box -- sh -c 'echo x >/new && rm -r /var/secret && chmod 700 /etc && cat /new &&
        ls -d /var/secret; stat -c %a /etc'
    expect_status 0
    expect_out "$(printf 'x\n700')"
    run_thaw run box -- sh -c 'ls /new; cat /var/secret/file; stat -c %a /etc; stat -c %a /'
    expect_out "$(printf 'hidden\n755\n755')"
}

test_a_read_only_root_is_the_image_itself() {
    import_rootfs
    mkdir "$work/ro"
    jq --arg p "$work/store/box/root.erofs" '.root = {path: $p, readonly: true}' \
        "$work/store/box/config.json" >"$work/ro/config.json"
    run_thaw run --bundle "$work/ro" -- sh -c 'touch /x; grep " / " /proc/mounts | cut -d " " -f 3-4'
    expect_out_has "erofs ro"
    grep -qi 'read-only' "$work/err" "$work/out" || fail "it can be written to"
}

test_an_image_is_found_among_other_disks_and_shared_by_two_guests() {
    import_rootfs
    truncate -s 1M "$work/disk"
    "$build/thaw" run box -- sh -c 'sleep 3; echo first' >"$work/first" 2>&1 &
    run_thaw run box --disk "$work/disk,serial=other" -- sh -c 'cat /sys/block/*/serial; echo second'
    expect_status 0
    expect_out_has other
    expect_out_has second
    wait $!
    grep -qx first "$work/first" || fail "the first guest did not run"
    run_thaw run box --disk "$work/disk,serial=root"
    expect_failure usage serial=root
}

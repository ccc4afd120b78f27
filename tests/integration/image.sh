# SPDX-License-Identifier: Apache-2.0
# thaw image: what is imported, what is refused, and that a failure leaves nothing. No guest runs
# in any of these.

export THAW_IMAGES=$work/store

# image ARGS...: `thaw image`, as run_thaw.
image() {
    run_thaw image "$@"
}

import_ok() {
    image import "$@"
    expect_status 0
}

# refused STATUS TEXT ARGS...: one line, this status, and a store as it was.
refused() {
    local expected=$1 text=$2 before after
    shift 2
    before=$(ls -A "$work/store" 2>/dev/null || true)
    image "$@"
    expect_status "$expected"
    [ "$(wc -l <"$work/err")" -eq 1 ] || fail "stderr is not one line"
    grep -qE '^thaw: .* \[[a-z-]+\]$' "$work/err" || fail "stderr is not a thaw: line"
    grep -qF -- "$text" "$work/err" || fail "stderr does not say: $text"
    after=$(ls -A "$work/store" 2>/dev/null || true)
    [ "$before" = "$after" ] || fail "left in the store: $after"
}

# The tree of an image, in $work/tree.
extract() {
    rm -rf "$work/tree"
    fsck.erofs --extract="$work/tree" "$work/store/$1/root.erofs" >/dev/null 2>&1 ||
        fail "fsck.erofs does not take $1"
}

# ---- OCI layouts by hand: $work/lay -----------------------------------------------------------

# Puts a file into the layout as a blob; prints its digits.
blob() {
    local hex
    hex=$(sha256sum <"$1" | cut -c 1-64)
    mkdir -p "$work/lay/blobs/sha256"
    cp "$1" "$work/lay/blobs/sha256/$hex"
    echo "$hex"
}

# descriptor FILE MEDIATYPE
descriptor() {
    jq -nc --arg t "$2" --arg d "sha256:$(blob "$1")" --argjson s "$(stat -c %s "$1")" \
        '{mediaType: $t, digest: $d, size: $s}'
}

oci=application/vnd.oci.image

# layout TAR...: one image of these layers. $media and $arch, when set, say what they are.
layout() {
    local layers='[]' ids='[]' tar
    rm -rf "$work/lay"
    for tar in "$@"; do
        layers=$(jq -c ". + [$(descriptor "$tar" "${media:-$oci.layer.v1.tar}")]" <<<"$layers")
        ids=$(jq -c --arg d "sha256:$(sha256sum <"${tar%.gz}" | cut -c 1-64)" '. + [$d]' <<<"$ids")
    done
    jq -nc --argjson i "$ids" --arg a "${arch:-amd64}" --argjson c "${config:-"{}"}" \
        '{os: "linux", architecture: $a, config: $c, rootfs: {type: "layers", diff_ids: $i}}' \
        >"$work/config"
    jq -nc --argjson l "$layers" --argjson c "$(descriptor "$work/config" "$oci.config.v1+json")" \
        '{schemaVersion: 2, config: $c, layers: $l}' >"$work/manifest"
    jq -nc --argjson m "$(descriptor "$work/manifest" "$oci.manifest.v1+json")" \
        '{schemaVersion: 2, manifests: [$m]}' >"$work/lay/index.json"
    echo '{"imageLayoutVersion": "1.0.0"}' >"$work/lay/oci-layout"
}

# A layer with one file in it.
plain_layer() {
    mkdir -p "$work/plain"
    echo hello >"$work/plain/file"
    tar -C "$work/plain" -cf "$work/plain.tar" file
}

# ---- what works -------------------------------------------------------------------------------

umoci_image() {
    umoci init --layout "$work/lay"
    umoci new --image "$work/lay:one"
    mkdir -p "$work/s"/{etc,gone/deep,opaque,kept}
    printf 'root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n' >"$work/s/etc/passwd"
    printf 'root:x:0:\nwww:x:34:\nextra:x:50:web\n' >"$work/s/etc/group"
    echo old >"$work/s/gone/deep/file"
    echo old >"$work/s/opaque/old"
    echo kept >"$work/s/kept/file"
    umoci insert --image "$work/lay:one" "$work/s" /
    umoci insert --image "$work/lay:one" --whiteout /gone
    mkdir "$work/new"
    echo new >"$work/new/new"
    umoci insert --image "$work/lay:one" --opaque "$work/new" /opaque
    umoci config --image "$work/lay:one" --config.entrypoint /bin/echo --config.cmd hi \
        --config.user web --config.env A=b --config.label x=y --config.workingdir /srv
} >"$work/umoci.log" 2>&1

test_an_image_of_umoci_is_unpacked_with_its_whiteouts() {
    umoci_image
    import_ok "oci:$work/lay:one" --name one
    extract one
    [ ! -e "$work/tree/gone" ] || fail "a whiteout hides nothing"
    [ "$(ls "$work/tree/opaque")" = new ] || fail "an opaque directory shows what is below it"
    [ "$(cat "$work/tree/kept/file")" = kept ] || fail "the lowest layer is not there"
    jq -e '.process.args == ["/bin/echo", "hi"] and .process.cwd == "/srv"
        and .process.user == {uid: 33, gid: 34, additionalGids: [50]}
        and (.process.env | contains(["A=b", "HOME=/srv"]))
        and .annotations.x == "y" and .annotations["dev.thaw.entrypoint-args"] == "1"
        and .root.path == "root.erofs"' "$work/store/one/config.json" >/dev/null ||
        fail "config.json is not what the image says"
    [ "$(ls -A "$work/store")" = one ] || fail "more in the store than the image"
    [ "$(stat -c %a "$work/store/one/root.erofs")" = 644 ] || fail "root.erofs is not for everybody"
}

# As somebody who is not root, with programs and files where anybody gets at them.
as_user() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
    else
        "$@"
    fi
}

test_a_plain_user_imports_the_same_bytes_as_root() {
    mkdir -p "$work/s/sub"
    echo x >"$work/s/sub/file"
    chmod 4711 "$work/s/sub/file"
    chmod 000 "$work/s/sub"
    tar -C "$work/s" --owner=7 --group=8 -cf "$work/l.tar" sub
    # A device and a file capability, as somebody without either can write them.
    fakeroot sh -c "mkdir '$work/d' && mknod '$work/d/null' c 1 3 && touch '$work/d/ping' &&
        /usr/sbin/setcap cap_net_raw+ep '$work/d/ping' && tar -C '$work/d' --xattrs \
        --xattrs-include=security.capability -cf '$work/d.tar' null ping" || fail "fakeroot"
    layout "$work/l.tar" "$work/d.tar"
    mkdir "$work/bin"
    cp "$build/thaw" "$build/thaw-image" "$work/bin"
    mkdir -m 777 "$work/user"
    chmod -R a+rX "$work"
    as_user env THAW_IMAGES="$work/user" "$work/bin/thaw" image import "oci:$work/lay" --name i ||
        fail "a plain user's import failed"
    dump.erofs --path=/sub/file "$work/user/i/root.erofs" >"$work/dump" 2>&1 || true
    grep -qE 'Uid: 7 +Gid: 8' "$work/dump" || fail "the owner is lost"
    strings -n 10 "$work/user/i/root.erofs" | grep -q '^capability' || fail "the capability is lost"
    [ "$(id -u)" -eq 0 ] || return 0
    import_ok "oci:$work/lay" --name i
    cmp "$work/store/i/root.erofs" "$work/user/i/root.erofs" || fail "other bytes than root's"
    extract i
    [ "$(stat -c '%F %t:%T' "$work/tree/null")" = "character special file 1:3" ] ||
        fail "the device is lost"
}

test_the_same_image_gives_the_same_bytes_whichever_way_it_comes() {
    plain_layer
    layout "$work/plain.tar"
    import_ok "oci:$work/lay" --name a
    sleep 1.1 # another second: no clock may get into it
    import_ok "oci:$work/lay" --name b
    cmp "$work/store/a/root.erofs" "$work/store/b/root.erofs" || fail "two imports differ"
    docker_archive "$work/plain.tar"
    import_ok "docker-archive:$work/docker.tar" --name c
    cmp "$work/store/a/root.erofs" "$work/store/c/root.erofs" || fail "the archive's differs"
}

test_gzip_and_zstd_layers_are_unpacked() {
    plain_layer
    gzip -k "$work/plain.tar"
    media=$oci.layer.v1.tar+gzip layout "$work/plain.tar.gz"
    import_ok "oci:$work/lay" --name gz
    extract gz
    [ "$(cat "$work/tree/file")" = hello ] || fail "the file is not there"
}

# docker_archive TAR: as `docker save` wrote it for years, the layer behind a symbolic link.
docker_archive() {
    local hex
    layout "$1"
    hex=$(sha256sum <"$work/config" | cut -c 1-64)
    rm -rf "$work/docker"
    mkdir -p "$work/docker/l1" "$work/docker/l2"
    cp "$1" "$work/docker/l1/layer.tar"
    ln -s ../l1/layer.tar "$work/docker/l2/layer.tar"
    cp "$work/config" "$work/docker/$hex.json"
    jq -nc --arg c "$hex.json" \
        '[{Config: $c, RepoTags: ["web:1"], Layers: ["l2/layer.tar"]}]' >"$work/docker/manifest.json"
    tar -C "$work/docker" -cf "$work/docker.tar" .
}

test_a_docker_archive_is_imported_by_itself_and_by_name() {
    plain_layer
    docker_archive "$work/plain.tar"
    import_ok "docker-archive:$work/docker.tar" --name a
    import_ok "docker-archive:$work/docker.tar:web:1" --name b
    extract b
    [ "$(cat "$work/tree/file")" = hello ] || fail "the file is not there"
    refused 19 "no image in it is named web:2" import "docker-archive:$work/docker.tar:web:2" --name c
    gzip "$work/docker.tar"
    import_ok "docker-archive:$work/docker.tar.gz" --name d
}

test_a_damaged_docker_archive_is_refused() {
    plain_layer
    docker_archive "$work/plain.tar"
    head -c 3000 "$work/docker.tar" >"$work/cut.tar"
    refused 19 "" import "docker-archive:$work/cut.tar" --name c
    echo x >>"$work/docker/l1/layer.tar"
    tar -C "$work/docker" -cf "$work/docker.tar" .
    refused 19 "wrong diff_id" import "docker-archive:$work/docker.tar" --name c
    rm "$work/docker/manifest.json"
    tar -C "$work/docker" -cf "$work/docker.tar" .
    refused 19 "there is no manifest.json in it" import "docker-archive:$work/docker.tar" --name c
    refused 19 "$work/none" import "docker-archive:$work/none" --name c
}

test_a_directory_is_imported_with_what_is_to_run_in_it() {
    mkdir -p "$work/dir/etc"
    echo 'web:x:33:34::/srv:/bin/sh' >"$work/dir/etc/passwd"
    import_ok "dir:$work/dir" --name d --entrypoint '["/bin/x", "-a"]' --cmd 'echo hi' --env K=v \
        --workdir /w --user web
    jq -e '.process.args == ["/bin/x", "-a", "/bin/sh", "-c", "echo hi"] and .process.cwd == "/w"
        and .process.user.uid == 33 and (.process.env | contains(["K=v"]))' \
        "$work/store/d/config.json" >/dev/null || fail "config.json"
    import_ok "dir:$work/dir" --name plain
    jq -e '.process.args == ["/bin/sh"] and .process.user.uid == 0' \
        "$work/store/plain/config.json" >/dev/null || fail "the defaults"
    refused 19 "nobody" import "dir:$work/dir" --name e --user nobody
    refused 19 "$work/none" import "dir:$work/none" --name e
}

test_images_are_listed_inspected_replaced_and_removed() {
    plain_layer
    layout "$work/plain.tar"
    image list
    expect_status 0
    expect_out ""
    import_ok "oci:$work/lay" --name b --json
    jq -e '.name == "b" and (.layers | length) == 1 and .root_size > 0' "$work/out" >/dev/null ||
        fail "--json"
    import_ok "oci:$work/lay" --name a
    image list --json
    [ "$(jq -r '.[].name' "$work/out" | xargs)" = "a b" ] || fail "list --json"
    image list
    expect_out_has "oci:$work/lay"
    image inspect a
    [ "$(jq -r .path "$work/out")" = "$work/store/a" ] || fail "inspect has no path"
    refused 19 "the name is taken" import "oci:$work/lay" --name a
    echo other >"$work/plain/file"
    tar -C "$work/plain" -cf "$work/plain.tar" file
    layout "$work/plain.tar"
    import_ok "oci:$work/lay" --name a --replace
    extract a
    [ "$(cat "$work/tree/file")" = other ] || fail "--replace left the old image"
    image rm a
    expect_status 0
    [ "$(ls -A "$work/store")" = b ] || fail "rm left something, or took too much"
    refused 19 "no such image" rm a
    refused 19 "no such image" inspect a
}

test_the_manifest_of_this_platform_is_found_in_nested_indexes() {
    local own other
    plain_layer
    arch=s390x layout "$work/plain.tar"
    refused 19 "linux/s390x" import "oci:$work/lay" --name a
    other=$(jq -c '.manifests[0] + {platform: {os: "linux", architecture: "s390x"}}' \
        "$work/lay/index.json")
    mv "$work/lay" "$work/lay.other"
    layout "$work/plain.tar"
    cp "$work/lay.other"/blobs/sha256/* "$work/lay/blobs/sha256"
    own=$(jq -c '.manifests[0] + {platform: {os: "linux", architecture: "amd64"}}' \
        "$work/lay/index.json")
    jq -nc --argjson a "$other" --argjson b "$own" '{manifests: [$a, $b]}' >"$work/nested"
    jq -nc --argjson n "$(descriptor "$work/nested" "$oci.index.v1+json")" '{manifests: [$n]}' \
        >"$work/lay/index.json"
    import_ok "oci:$work/lay" --name a
    jq -nc --argjson a "$other" '{manifests: [$a]}' >"$work/lay/index.json"
    refused 19 "no manifest for linux/amd64" import "oci:$work/lay" --name b
}

# ---- what is refused --------------------------------------------------------------------------

test_a_wrong_command_line_is_a_usage_error() {
    refused 2 "no command given"
    refused 2 "unknown command" frobnicate
    refused 2 "unknown command" pack
    refused 2 "needs a SOURCE" import --name a
    refused 2 "needs --name" import oci:x
    refused 2 "dir:DIR" import x --name a
    refused 2 "unexpected argument" import oci:x y --name a
    refused 2 "not a name for an image" import oci:x --name A
    refused 2 "not a name for an image" import oci:x --name ../a
    refused 2 "for dir: only" import oci:x --name a --cmd x
    refused 2 "--env" import dir:x --name a --env x
    refused 2 "JSON array" import dir:x --name a --cmd '["x"'
    refused 2 "unknown option" list --name
    refused 2 "needs a NAME" rm
    refused 2 "not a name for an image" rm ..
}

test_help_teaches() {
    local words
    for words in "--help" "import --help" "list --help" "inspect --help" "rm --help"; do
        # shellcheck disable=SC2086
        image $words
        expect_status 0
        expect_out_has "Usage: thaw image"
    done
}

test_a_layer_that_climbs_out_is_refused_with_one_line() {
    local tar=$work/bad.tar
    mkdir "$work/t" && cd "$work/t"
    echo bad >x
    tar -P --transform 's|^x$|../x|' -cf "$tar" x
    layout "$tar" && refused 19 "../x: an absolute name" import "oci:$work/lay" --name a
    tar -P --transform "s|^x\$|$work/escaped|" -cf "$tar" x
    layout "$tar" && refused 19 "an absolute name" import "oci:$work/lay" --name a
    ln -s / a
    tar -cf "$tar" a
    tar --transform 's|^x$|a/escaped|' -rf "$tar" x
    layout "$tar" && refused 19 "leads out of the root" import "oci:$work/lay" --name a
    ln -s ../../../.. up
    tar -cf "$tar" up
    tar --transform 's|^x$|up/.wh.escaped|' -rf "$tar" x
    layout "$tar" && refused 19 "leads out of the root" import "oci:$work/lay" --name a
    ln x h
    tar -P --transform 's|^x$|/etc/passwd|' --show-transformed-names -cf "$tar" x h
    tar -P --delete -f "$tar" /etc/passwd
    layout "$tar" && refused 19 "out of the root" import "oci:$work/lay" --name a
    [ ! -e "$work/escaped" ] || fail "it got out"
}

test_names_from_a_layer_cannot_break_the_line() {
    mkdir "$work/t"
    : >"$work/t/x"
    tar -P -C "$work/t" --transform $'s|^x$|../a\nb\033[1m|' -cf "$work/bad.tar" x
    layout "$work/bad.tar"
    refused 19 "layer 1: ../a?b?[1m:" import "oci:$work/lay" --name a
}

test_what_does_not_have_its_digest_is_refused() {
    local hex
    plain_layer
    layout "$work/plain.tar"
    hex=$(sha256sum <"$work/plain.tar" | cut -c 1-64)
    printf x | dd of="$work/lay/blobs/sha256/$hex" bs=1 seek=600 conv=notrunc status=none
    refused 19 "wrong digest" import "oci:$work/lay" --name a
    layout "$work/plain.tar"
    echo more >>"$work/lay/blobs/sha256/$hex"
    refused 19 "its descriptor says" import "oci:$work/lay" --name a
    layout "$work/plain.tar"
    hex=$(sha256sum <"$work/manifest" | cut -c 1-64)
    sed -i 's/schemaVersion":2/schemaVersion":3/' "$work/lay/blobs/sha256/$hex"
    refused 19 "wrong digest" import "oci:$work/lay" --name a
    layout "$work/plain.tar"
    hex=$(sha256sum <"$work/config" | cut -c 1-64)
    rm "$work/lay/blobs/sha256/$hex"
    refused 19 "$hex: No such file" import "oci:$work/lay" --name a
}

test_a_layer_cut_short_is_refused_although_its_digest_is_right() {
    head -c 200000 /dev/urandom >"$work/random"
    tar -C "$work" -cf "$work/whole.tar" random
    head -c 100000 "$work/whole.tar" >"$work/cut.tar"
    layout "$work/cut.tar"
    refused 19 "layer 1: random: " import "oci:$work/lay" --name a
}

test_unknown_media_types_and_compressions_are_named() {
    plain_layer
    media=text/plain layout "$work/plain.tar"
    refused 19 "text/plain: unknown media type" import "oci:$work/lay" --name a
    media=$oci.layer.v1.tar+xz layout "$work/plain.tar"
    refused 19 "unknown compression xz" import "oci:$work/lay" --name a
    media=$oci.layer.v1.tar+gzip layout "$work/plain.tar"
    refused 19 "not gzip data" import "oci:$work/lay" --name a
}

test_what_is_no_layout_is_named() {
    mkdir "$work/empty"
    refused 19 "not an OCI image layout" import "oci:$work/empty" --name a
    refused 19 "$work/none" import "oci:$work/none" --name a
    plain_layer
    layout "$work/plain.tar"
    echo '{"manifests": [' >"$work/lay/index.json"
    refused 19 "index.json:2:" import "oci:$work/lay" --name a
    echo '{"manifests": []}' >"$work/lay/index.json"
    refused 19 "no manifest" import "oci:$work/lay" --name a
    layout "$work/plain.tar"
    echo '{"imageLayoutVersion": "2.0.0"}' >"$work/lay/oci-layout"
    refused 19 "2.0.0" import "oci:$work/lay" --name a
}

test_an_image_that_could_not_run_is_refused_at_once() {
    plain_layer
    config='{"User": "ghost"}' layout "$work/plain.tar"
    refused 19 "user ghost" import "oci:$work/lay" --name a
    config='{"Env": ["NOVALUE"]}' layout "$work/plain.tar"
    refused 19 "process.env[0]" import "oci:$work/lay" --name a
    config='{"Cmd": "text"}' layout "$work/plain.tar"
    refused 19 "Cmd: must be a list of strings" import "oci:$work/lay" --name a
}

test_a_missing_mkfs_names_its_package() {
    plain_layer
    layout "$work/plain.tar"
    mkdir "$work/path"
    PATH=$work/path /usr/bin/env -S "$build/thaw" image import "oci:$work/lay" --name a \
        2>"$work/err" && fail "it succeeded"
    grep -qF 'install the package erofs-utils' "$work/err" || fail "the package is not named"
}

test_a_full_disk_leaves_nothing() {
    head -c 8000000 /dev/urandom >"$work/random"
    tar -C "$work" --owner=0 --group=0 -cf "$work/big.tar" random
    layout "$work/big.tar"
    mkdir "$work/store"
    unshare -rm sh -c 'mount -t tmpfs -o size=4m tmpfs "$1/store" || exit 99
        "$2/thaw" image import "oci:$1/lay" --name a 2>"$1/err"; echo $? >"$1/status"
        ls -A "$1/store" >"$1/left"' sh "$work" "$build" || fail "no tmpfs"
    [ "$(cat "$work/status")" -eq 10 ] || fail "status $(cat "$work/status")"
    grep -qF 'No space left on device' "$work/err" || fail "it does not say why"
    [ ! -s "$work/left" ] || fail "something is left"
}

# ---- interruptions ----------------------------------------------------------------------------

# An import that stops in the middle: its mkfs.erofs says that it runs, and waits.
start_slow_import() {
    plain_layer
    layout "$work/plain.tar"
    mkdir "$work/slow"
    printf '#!/bin/sh\necho $$ >"%s/mkfs"\nexec sleep 60\n' "$work" >"$work/slow/mkfs.erofs"
    chmod +x "$work/slow/mkfs.erofs"
    PATH=$work/slow:$PATH "$build/thaw" image import "oci:$work/lay" --name a 2>"$work/err" &
    import=$!
    wait_for "$work/mkfs" ""
    [ -n "$(ls -d "$work"/store/.staging-* 2>/dev/null)" ] || fail "no staging directory"
}

test_an_interrupted_import_leaves_nothing() {
    local signal
    for signal in TERM HUP; do
        start_slow_import
        kill -"$signal" "$import"
        status=0
        wait "$import" || status=$?
        expect_status 12
        grep -qx "thaw: interrupted by SIG$signal \[interrupted\]" "$work/err" || fail "the line"
        [ -z "$(ls -A "$work/store")" ] || fail "left: $(ls -A "$work/store")"
        await ended "$(cat "$work/mkfs")" # a zombie, where nobody reaps orphans
        rm -rf "$work/slow" "$work/mkfs"
    done
}

test_what_a_killed_import_left_goes_with_the_next() {
    start_slow_import
    kill -KILL "$import"
    wait "$import" || true
    # Its worker still runs: what it works on stays.
    import_ok "oci:$work/lay" --name b
    [ -n "$(ls -d "$work"/store/.staging-* 2>/dev/null)" ] || fail "taken from under the worker"
    kill "$(cat "$work/mkfs")"
    for _ in $(seq 100); do
        import_ok "oci:$work/lay" --name c --replace
        [ "$(ls -A "$work/store" | xargs)" = "b c" ] && return
        sleep 0.05
    done
    fail "left: $(ls -A "$work/store")"
}

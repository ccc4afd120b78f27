# SPDX-License-Identifier: Apache-2.0
# Sourced by every scenario file. A scenario is a function `test_<sentence>`: it makes a bundle,
# runs thaw, and says what must have been seen. The first `expect` that fails ends it.

# Set by the runner: $build (the build directory) and $work (this scenario's scratch directory).
# Set by run_thaw: $status, and the files $work/out and $work/err.

fail() {
    {
        printf '    %s\n' "$*"
        [ -s "$work/out" ] && tail -n 5 "$work/out" | cut -c 1-300 | sed 's/^/    out: /'
        [ -s "$work/err" ] && tail -n 5 "$work/err" | cut -c 1-300 | sed 's/^/    err: /'
    } >&2
    exit 1
}

# Root file system of every bundle: busybox with all its names.
rootfs() {
    local root=$build/test/rootfs
    if [ ! -e "$root/.complete" ]; then
        local staging
        staging=$(mktemp -d "$build/test/rootfs.XXXXXX")
        chmod 755 "$staging"
        mkdir -p "$staging"/{bin,dev,etc,proc,sys,tmp,run,root,home/user,var/secret}
        chmod 1777 "$staging/tmp"
        cp /bin/busybox "$staging/bin/busybox"
        local applet
        for applet in $(/bin/busybox --list); do
            [ "$applet" = busybox ] || ln -s busybox "$staging/bin/$applet"
        done
        printf 'root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n' \
            >"$staging/etc/passwd"
        printf 'root:x:0:\nuser:x:1000:\nextra:x:2000:\n' >"$staging/etc/group"
        chown -R 1000:1000 "$staging/home/user"
        echo hidden >"$staging/var/secret/file"
        printf 'not a program\n' >"$staging/bin/text"
        printf '#!/nowhere/interpreter\n' >"$staging/bin/orphan"
        chmod +x "$staging/bin/orphan"
        touch "$staging/.complete"
        mv -T "$staging" "$root" 2>/dev/null || rm -rf "$staging"
    fi
    echo "$root"
}

# bundle [FILTER...]: a bundle in $work/bundle whose config.json is what `runc spec` writes, with a
# terminal no longer asked for, changed by the jq filters.
bundle() {
    local filter=". | .process.terminal = false | .root.path = \"$(rootfs)\"" f
    for f in "$@"; do filter="$filter | $f"; done
    mkdir -p "$work/bundle"
    jq "$filter" "$build/test/runc-spec.json" >"$work/bundle/config.json" || fail "jq: $filter"
}

# A bundle that runs a shell script.
sh_bundle() {
    local script=$1
    shift
    bundle ".process.args = [\"/bin/sh\", \"-c\", $(jq -n --arg s "$script" '$s')]" "$@"
}

# run_thaw ARGS...: never longer than a minute, stdin empty unless $work/in exists.
run_thaw() {
    local input=/dev/null
    [ -e "$work/in" ] && input=$work/in
    status=0
    timeout -k 5 "${limit:-60}" "$build/thaw" "$@" <"$input" >"$work/out" 2>"$work/err" ||
        status=$?
}

run_bundle() {
    run_thaw run --bundle "$work/bundle" "$@"
}

# run_script SCRIPT [FILTER...]: the usual case.
run_script() {
    sh_bundle "$@"
    run_bundle
}

expect_status() {
    [ "$status" -eq "$1" ] || fail "exit status $status where $1 was expected"
}

# The whole of stdout.
expect_out() {
    [ "$(cat "$work/out")" = "$1" ] || fail "stdout is not: $1"
}

expect_out_has() {
    grep -qF -- "$1" "$work/out" || fail "stdout does not have: $1"
}

expect_err_has() {
    grep -qF -- "$1" "$work/err" || fail "stderr does not have: $1"
}

# thaw's own failure: status 125 and one line of this form, with this name at its end.
expect_failure() {
    expect_status 125
    [ "$(grep -c '^thaw: ' "$work/err")" -eq 1 ] || fail "stderr does not have one thaw: line"
    grep -q "^thaw: .*\[$1\]$" "$work/err" || fail "the failure is not [$1]"
    [ $# -lt 2 ] || grep -qF -- "$2" "$work/err" || fail "stderr does not say: $2"
}

# Waits until a command succeeds: a minute, which is enough on the busiest machine.
await() {
    local i
    for i in $(seq 1200); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.05
    done
    fail "never: $*"
}

# Waits until a file has a text, for guests that are talked to while they run.
wait_for() {
    await grep -qF -- "$2" "$1"
}

# has_vcpu PID: it is a monitor whose guest has its processors; signals are its own by then.
has_vcpu() {
    readlink "/proc/$1/fd/"* | grep -q kvm-vcpu
}

# ended PID: there is no such process, or it is only waiting for its parent to hear of its end.
ended() {
    case $(ps -o stat= -p "$1") in
    "" | [ZX]*) ;;
    *) return 1 ;;
    esac
}

# SPDX-License-Identifier: Apache-2.0
# Real Linux guests that run a bundle's process: what OCI promises it, as it sees it.

test_the_unedited_output_of_runc_spec_runs() {
    # `runc spec` asks for `sh` on a terminal; input and output here are files.
    mkdir -p "$work/bundle"
    cp "$build/test/runc-spec.json" "$work/bundle/config.json"
    ln -s "$(rootfs)" "$work/bundle/rootfs"
    echo 'echo "sum $((40 + 2))"; exit 9' >"$work/in"
    run_bundle
    expect_status 9
    expect_out_has "sum 42"
}

test_stdout_arrives_byte_by_byte() {
    run_script 'printf "a\nb\r\n\001\377\000c"'
    expect_status 0
    [ "$(od -An -tx1 "$work/out" | tr -d ' \n')" = 610a620d0a01ff0063 ] || fail "bytes changed"
}

test_an_exit_status_passes_through() {
    run_script 'exit 77'
    expect_status 77
}

test_a_signal_that_kills_the_workload_is_128_plus_its_number() {
    run_script 'sh -c "kill -KILL \$\$"; exit $?'
    expect_status 137
}

test_a_command_that_is_not_there_is_127() {
    bundle '.process.args = ["no-such-command"]'
    run_bundle
    expect_status 127
    expect_err_has "no-such-command"
}

test_a_file_that_cannot_be_executed_is_126() {
    bundle '.process.args = ["/etc/passwd"]'
    run_bundle
    expect_status 126
    expect_err_has "/etc/passwd"
}

test_env_cwd_and_hostname_are_set() {
    sh_bundle 'echo "$COLOR|$(pwd)|$(hostname)"' '.process.env += ["COLOR=blue green"]' \
        '.process.cwd = "/home/user"' '.hostname = "icebox"'
    run_bundle
    expect_status 0
    expect_out "blue green|/home/user|icebox"
}

test_uid_gids_and_umask_are_set() {
    run_script 'id -u; id -g; id -G; umask; id -un; echo $HOME' \
        '.process.user = {uid: 1000, gid: 1000, additionalGids: [2000, 3000], umask: 63}'
    expect_status 0
    expect_out "1000
1000
1000 2000 3000
0077
user
/home/user"
}

test_capabilities_are_those_of_the_bundle() {
    run_script 'grep Cap /proc/self/status | tr -d "\t"' \
        '.process.capabilities = {bounding: ["CAP_KILL", "CAP_NET_BIND_SERVICE"],
            effective: ["CAP_KILL"], permitted: ["CAP_KILL"], inheritable: [], ambient: []}'
    expect_status 0
    expect_out "CapInh:0000000000000000
CapPrm:0000000000000020
CapEff:0000000000000020
CapBnd:0000000000000420
CapAmb:0000000000000000"
}

test_ambient_capabilities_survive_a_change_of_user() {
    run_script 'grep Cap[EA] /proc/self/status | tr -d "\t"' '.process.user = {uid: 1000, gid: 1000}' \
        '.process.capabilities = ({bounding, effective, inheritable, permitted, ambient} | map_values(["CAP_KILL"]))'
    expect_status 0
    expect_out "CapEff:0000000000000020
CapAmb:0000000000000020"
}

test_rlimits_no_new_privs_and_oom_score_are_set() {
    run_script 'ulimit -n; ulimit -Hn; grep NoNewPrivs /proc/self/status | tr -d "\t"; cat /proc/self/oom_score_adj' \
        '.process.rlimits = [{type: "RLIMIT_NOFILE", soft: 100, hard: 200}]' \
        '.process.oomScoreAdj = 321'
    expect_status 0
    expect_out "100
200
NoNewPrivs:1
321"
}

test_a_read_only_root_refuses_writes_and_a_writable_one_takes_them() {
    run_script 'touch /new 2>/dev/null && echo writable || echo read-only'
    expect_out "read-only"
    run_script 'touch /new && echo writable' '.root.readonly = false'
    expect_out "writable"
}

test_the_mounts_are_there_with_their_options() {
    run_script 'grep -E " (/proc|/dev|/dev/pts|/dev/shm|/dev/mqueue|/sys|/sys/fs/cgroup) " /proc/mounts | cut -d" " -f2,3,4'
    expect_status 0
    expect_out_has "/proc proc rw"
    expect_out_has "/dev tmpfs rw,nosuid"
    expect_out_has "/dev/shm tmpfs rw,nosuid,nodev,noexec"
    expect_out_has "/sys sysfs ro,nosuid,nodev,noexec"
    expect_out_has "/sys/fs/cgroup cgroup2 ro"
    expect_out_has "/dev/mqueue mqueue"
    expect_out_has "/dev/pts devpts"
}

test_masked_paths_are_empty_and_read_only_paths_read_only() {
    run_script 'cat /var/secret/file 2>/dev/null; ls -A /var/secret | wc -l; echo 1 2>/dev/null > /proc/sys/vm/drop_caches || echo refused' \
        '.linux.maskedPaths += ["/var/secret"]'
    expect_status 0
    expect_out "0
refused"
}

test_sysctls_are_set() {
    run_script 'cat /proc/sys/net/ipv4/ip_local_port_range /proc/sys/kernel/shm_rmid_forced | tr "\t" " "' \
        '.linux.sysctl = {"net.ipv4.ip_local_port_range": "2000 3000", "kernel.shm_rmid_forced": "1"}'
    expect_status 0
    expect_out "2000 3000
1"
}

test_devices_are_the_default_ones_and_those_of_the_bundle() {
    run_script 'cd /dev; for d in null zero full random urandom tty mine; do test -c $d || echo missing $d; done
        stat -c "%a %t %T" mine; readlink fd; readlink stdin; ls ttyS* mem kmem port 2>/dev/null; head -c 4 zero | od -An -tx1' \
        '.linux.devices = [{path: "/dev/mine", type: "c", major: 1, minor: 3, fileMode: 416, uid: 0, gid: 0}]' \
        '.linux.resources.devices += [{allow: true, type: "c", major: 1, minor: 3, access: "rwm"}]'
    expect_status 0
    expect_out "640 1 3
/proc/self/fd
/proc/self/fd/0
 00 00 00 00"
}

test_the_control_port_cannot_be_reached_even_with_every_capability() {
    run_script 'mknod /dev/t c 4 65; mknod /dev/m c 1 1; cat /dev/t; cat /dev/m; echo "workload-exit status=3" > /dev/t; exit 5' \
        '.process.capabilities |= with_entries(.value = ["CAP_MKNOD", "CAP_SYS_ADMIN", "CAP_SYS_RAWIO", "CAP_DAC_OVERRIDE"])' \
        '.linux.resources.devices = [{allow: true, access: "rwm"}]'
    expect_status 5
}

test_namespaces_make_the_workload_process_one() {
    run_script 'echo $$; ls /proc | grep -c "^[0-9]"'
    expect_status 0
    [ "$(head -n 1 "$work/out")" = 1 ] || fail "it is not PID 1"
    run_script 'test $$ -gt 1 && echo another' 'del(.linux.namespaces[] | select(.type == "pid"))'
    expect_out another
}

test_a_user_namespace_maps_ids() {
    run_script 'id -u; tr -s " " < /proc/self/uid_map' '.linux.namespaces += [{type: "user"}]' \
        '.linux.uidMappings = [{containerID: 0, hostID: 1000, size: 1}]' \
        '.linux.gidMappings = [{containerID: 0, hostID: 1000, size: 1}]' \
        'del(.mounts[] | select(.type == "mqueue" or .type == "sysfs" or .type == "cgroup"))' \
        '(.mounts[] | select(.type == "devpts") | .options) -= ["gid=5"]'
    expect_status 0
    expect_out "0
 0 1000 1"
}

test_the_loopback_interface_is_up() {
    run_script 'nc -l -p 7000 -e echo over-tcp & sleep 0.2; nc 127.0.0.1 7000 </dev/null'
    expect_status 0
    expect_out "over-tcp"
}

test_cgroup_limits_are_set_and_an_oom_kill_is_137() {
    run_script 'cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/memory.max' \
        '.linux.resources = {memory: {limit: 20971520}, pids: {limit: 33}}'
    expect_status 0
    expect_out "33
20971520"
    run_script 'exec tail -c 100m /dev/zero' '.linux.resources = {memory: {limit: 16777216, swap: 16777216}}'
    expect_status 137
}

test_a_seccomp_profile_is_installed() {
    run_script 'mkdir /tmp/d 2>/dev/null || echo "mkdir refused"; grep Seccomp: /proc/self/status | tr -d "\t"' \
        '.root.readonly = false' \
        '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86_64"],
            syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 1}]}'
    expect_status 0
    expect_out "mkdir refused
Seccomp:2"
}

test_stdin_reaches_the_workload_and_ends() {
    seq 2000 >"$work/in"
    run_script 'md5sum'
    expect_status 0
    expect_out "$(md5sum <"$work/in")"
}

test_a_workload_that_ignores_stdin_still_ends() {
    seq 100000 >"$work/in"
    run_script 'echo done'
    expect_status 0
    expect_out "done"
}

test_a_terminal_is_a_terminal() {
    echo 'tty; stty size; exit 3' >"$work/in"
    bundle '.process.args = ["/bin/sh"]' '.process.terminal = true' \
        '.process.consoleSize = {height: 33, width: 99}'
    run_bundle
    expect_status 3
    expect_out_has /dev/pts/0
    expect_out_has "33 99"
}

# start_script SCRIPT [FILTER...]: in the background, as $pid, once it has printed "ready".
start_script() {
    sh_bundle "$@"
    timeout -k 5 60 "$build/thaw" run --bundle "$work/bundle" </dev/null >"$work/out" 2>"$work/err" &
    wait_for "$work/out" ready
    pid=$(pgrep -P $!)
}

test_signals_reach_the_workload() {
    local signal pid
    start_script 'for s in HUP INT USR1 USR2; do trap "echo got $s" $s; done
        trap "echo got TERM; exit 4" TERM; echo ready; while :; do sleep 0.1; done'
    for signal in HUP INT USR1 USR2 TERM; do
        kill -"$signal" "$pid"
        wait_for "$work/out" "got $signal"
    done
    status=0
    wait $! || status=$?
    expect_status 4
}

test_the_third_interrupt_stops_a_guest_that_ignores_it() {
    local pid i
    start_script 'trap "echo again" INT; echo ready; while :; do sleep 0.1; done'
    for i in 1 2 3; do
        kill -INT "$pid"
        sleep 0.5
    done
    status=0
    wait $! || status=$?
    expect_failure interrupted "three times"
}

test_warm_up_runs_first_as_the_workloads_user() {
    sh_bundle 'cat /tmp/warm' '.process.user = {uid: 1000, gid: 1000}' '.root.readonly = false'
    run_bundle --warmup 'id -u > /tmp/warm'
    expect_status 0
    expect_out 1000
}

test_a_warm_up_that_fails_fails_the_run() {
    sh_bundle 'echo never'
    run_bundle --warmup 'exit 6'
    expect_failure guest-init "status 6"
    expect_out ""
}

test_a_read_only_bind_mount_of_a_host_file_is_packed() {
    echo from-the-host >"$work/shared"
    run_script 'cat /etc/shared; echo x 2>/dev/null > /etc/shared || echo read-only' \
        ".mounts += [{destination: \"/etc/shared\", type: \"bind\", source: \"$work/shared\", options: [\"bind\", \"ro\"]}]"
    expect_status 0
    expect_out "from-the-host
read-only"
}

test_a_mount_that_fails_is_named() {
    bundle '.mounts += [{destination: "/mnt", type: "nosuchfs", source: "none"}]' '.process.args = ["true"]'
    run_bundle
    expect_failure guest-init /mnt
}

test_a_root_with_hard_links_and_odd_modes_is_the_same_inside() {
    local root=$work/root
    cp -a "$(rootfs)" "$root"
    echo one >"$root/first"
    ln "$root/first" "$root/second"
    chmod 4751 "$root/first"
    mkfifo "$root/fifo"
    ln -s ../nowhere "$root/dangling"
    run_script 'stat -c "%a %h %U" /first; test /first -ef /second && echo same; test -p /fifo && readlink /dangling' \
        ".root.path = \"$root\""
    expect_status 0
    expect_out "4751 2 root
same
../nowhere"
}

test_the_times_are_in_order() {
    sh_bundle 'true'
    run_bundle --json
    expect_status 0
    jq -e '.marks_ms | .kvm_run < .hello and .hello < .workload_pre_exec
        and .workload_pre_exec <= .workload_exec and .workload_exec < .workload_exit' "$work/err" \
        >/dev/null || fail "marks"
}

# SPDX-License-Identifier: Apache-2.0
# Real Linux guests: the machine they find, and how they end when not by their workload.

test_the_guest_sees_its_vcpus() {
    sh_bundle 'nproc; grep -c ^processor /proc/cpuinfo'
    run_bundle --cpus 2
    expect_status 0
    expect_out "2
2"
}

test_eight_vcpus_come_up() {
    sh_bundle 'nproc'
    run_bundle --cpus 8 --memory 256M
    expect_status 0
    expect_out 8
}

# In MiB, more than `$2` of the memory that was given.
memory_is() {
    sh_bundle 'awk "/MemTotal/ { print int(\$2 / 1024) }" /proc/meminfo'
    run_bundle --memory "$1"
    expect_status 0
    [ "$(cat "$work/out")" -gt "$2" ] || fail "the guest has $(cat "$work/out") MiB"
}

test_a_guest_of_64_mib_boots() {
    memory_is 64M 30
}

test_a_guest_of_3_gib_ends_at_the_gap() {
    memory_is 3G 2900
}

test_a_guest_of_5_gib_goes_on_above_4_gib() {
    memory_is 5G 4900
}

test_a_bzimage_boots() {
    sh_bundle 'echo unpacked'
    run_bundle --kernel "$build/bzImage"
    expect_status 0
    expect_out unpacked
}

test_a_kernel_panic_is_named() {
    run_thaw run --kernel "$build/vmlinux"
    expect_failure guest-panic
    expect_out_has "Kernel panic - not syncing"
}

test_a_panic_at_run_time_is_named() {
    run_script 'echo 2 > /proc/sys/vm/panic_on_oom; exec tail /dev/zero' '.linux.readonlyPaths = []'
    expect_failure guest-panic
    expect_err_has "Kernel panic - not syncing"
    expect_out ""
}

test_a_power_off_by_the_workload_is_a_shutdown() {
    run_script 'poweroff -f' 'del(.linux.namespaces[] | select(.type == "pid"))' \
        '.process.capabilities |= with_entries(.value = ["CAP_SYS_BOOT"])'
    expect_failure guest-shutdown
}

test_a_reboot_by_the_workload_is_a_reboot() {
    run_script 'reboot -f' 'del(.linux.namespaces[] | select(.type == "pid"))' \
        '.process.capabilities |= with_entries(.value = ["CAP_SYS_BOOT"])'
    expect_failure guest-reboot
}

test_a_workload_that_never_ends_runs_into_the_timeout() {
    sh_bundle 'sleep 1000'
    run_bundle --timeout 4
    expect_failure timeout
}

test_the_clock_is_right() {
    sh_bundle 'date +%s; cat /sys/devices/system/clocksource/clocksource0/current_clocksource'
    local before after seen
    before=$(date +%s)
    run_bundle
    after=$(date +%s)
    expect_status 0
    seen=$(head -n 1 "$work/out")
    [ "$seen" -ge "$((before - 1))" ] && [ "$seen" -le "$((after + 1))" ] ||
        fail "$seen is not between $before and $after"
    expect_out_has kvm-clock
}

test_an_exported_guest_is_what_runs() {
    bundle
    run_thaw run --bundle "$work/bundle" --export "$work/export"
    expect_status 0
    grep -q console=ttyS0 "$work/export/cmdline" || fail "no command line"
    (mkdir "$work/unpacked" && cd "$work/unpacked" && cpio -id --quiet <"$work/export/initramfs") ||
        fail "cpio refuses it"
    [ -x "$work/unpacked/init" ] && [ -s "$work/unpacked/thaw.spec" ] || fail "no init, no spec"
}

test_nothing_is_left_running_or_lying_about() {
    sh_bundle 'true'
    run_bundle
    expect_status 0
    ! pgrep -f "$work/bundle" >/dev/null || fail "a process is left"
    [ "$(ls "$work" | sort | tr '\n' ' ')" = "bundle err out " ] || fail "left: $(ls "$work")"
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/guest_files.h"

#include "vmm/base/file.h"
#include "vmm/bundle/rootfs.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/*
 * The kernel's command line, before --cmdline-extra. Quiet, since the console is thaw's stderr
 * here; a panic or oops ends the guest at once by the keyboard controller's reset, and leaves the
 * mark (warm) that tells a panic from a reboot. No bounce buffers: nothing here does DMA, and
 * they would take 64 MiB of a guest that reaches above 4 GiB.
 */
static const char cmdline_base[] =
    "console=ttyS0 loglevel=1 panic=-1 oops=panic reboot=k,panic_warm swiotlb=noforce";

static int find_kernel(const struct run_options *o, struct guest_files *files,
                       struct thaw_error *err)
{
    if (!o->kernel) {
        if (cli_find_installed("vmlinux", files->kernel, sizeof(files->kernel)) == 0)
            return 0;
        return thaw_fail_as(err, THAW_FAIL_KERNEL, ENOENT,
                            "kernel: no vmlinux next to thaw or in ../share/thaw (make kernel "
                            "builds it; --kernel names another)");
    }
    if (snprintf(files->kernel, sizeof(files->kernel), "%s", o->kernel) >=
        (int)sizeof(files->kernel))
        return thaw_fail_as(err, THAW_FAIL_KERNEL, ENAMETOOLONG, "kernel: path too long");
    return 0;
}

static int compose_cmdline(const struct run_options *o, struct guest_files *files,
                           struct thaw_error *err)
{
    int n = snprintf(files->cmdline, sizeof(files->cmdline), "%s%s%s", cmdline_base,
                     o->cmdline_extra ? " " : "", o->cmdline_extra ? o->cmdline_extra : "");
    if (n < 0 || (size_t)n >= sizeof(files->cmdline))
        return thaw_fail_as(err, THAW_FAIL_USAGE, E2BIG,
                            "--cmdline-extra: the kernel's command line holds %u bytes",
                            ARCH_CMDLINE_MAX - 1);
    return 0;
}

static int open_bundle(const struct run_options *o, struct guest_files *files,
                       struct thaw_error *err)
{
    struct bundle_options options = {.warmup = o->warmup,
                                     .args = o->args,
                                     .arg_count = o->arg_count,
                                     .env = o->env,
                                     .env_count = o->env_count,
                                     .disks = o->mounts,
                                     .disk_count = o->mount_count};
    terminal_size(STDIN_FILENO, &options.rows, &options.cols);
    int rc = bundle_load(o->bundle, &options, &files->bundle, err);
    if (rc < 0)
        return rc;
    const struct bundle *bundle = files->bundle;
    bool archive = !bundle->root_image || bundle->pack_count > 0;
    rc = archive ? rootfs_archive(bundle, files->rootfs, sizeof(files->rootfs), err) : 0;
    if (rc < 0)
        return rc;
    files->initramfs = (struct initramfs){
        .spec = bundle->spec,
        .spec_size = bundle->spec_size,
        .archive_count = archive,
        .archives = {files->rootfs},
    };
    return 0;
}

int guest_files_collect(struct guest_files *files, const struct run_options *o,
                        struct thaw_error *err)
{
    int rc = o->bundle ? open_bundle(o, files, err) : 0;
    if (rc == 0 && !o->export_directory)
        rc = find_kernel(o, files, err);
    if (rc == 0)
        rc = compose_cmdline(o, files, err);
    if (rc == 0 && o->initrd)
        files->initramfs = (struct initramfs){.archive_count = 1, .archives = {o->initrd}};
    return rc;
}

static int export_file(const char *directory, const char *name, const struct guest_files *files,
                       struct thaw_error *err)
{
    char path[4096];
    if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
        return thaw_fail_as(err, THAW_FAIL_IO, ENAMETOOLONG, "--export: path too long");
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return thaw_fail_io(err, errno, "--export %s", path);
    int rc = strcmp(name, "cmdline") == 0
                 ? file_write_full(fd, files->cmdline, strlen(files->cmdline), err)
                 : initramfs_export(&files->initramfs, fd, err);
    if (rc < 0)
        unlink(path);
    return rc < 0 ? thaw_context(err, "--export %s", path) : 0;
}

int guest_files_export(const struct guest_files *files, const char *directory,
                       struct thaw_error *err)
{
    if (mkdir(directory, 0755) < 0 && errno != EEXIST)
        return thaw_fail_io(err, errno, "--export %s", directory);
    int rc = export_file(directory, "initramfs", files, err);
    return rc < 0 ? rc : export_file(directory, "cmdline", files, err);
}

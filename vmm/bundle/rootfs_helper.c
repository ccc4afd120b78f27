/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/bundle/rootfs_helper.h"

#include "vmm/base/cleanup.h"
#include "vmm/base/command.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define HELPER "thaw-image"

/* "thaw-image pack --output FILE rootfs=DIR binds/0=DIR ..." */
static int build_command(const struct bundle *bundle, const char *output, struct command *command)
{
    int rc = command_add(command, HELPER);
    if (rc == 0)
        rc = command_add(command, "pack");
    if (rc == 0)
        rc = command_add(command, "--output");
    if (rc == 0)
        rc = command_add(command, "%s", output);
    if (rc == 0 && !bundle->root_image)
        rc = command_add(command, "rootfs=%s", bundle->root);
    for (size_t i = 0; rc == 0 && i < bundle->pack_count; i++)
        rc = command_add(command, "%s=%s", bundle->packs[i].name, bundle->packs[i].source);
    return rc;
}

/* Next to the running program, as it is built and as it is installed; else by name, for PATH. */
static void find_helper(char path[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(path, '/');
    size_t room = slash ? (size_t)(path + PATH_MAX - slash) : 0;
    if (slash && (size_t)snprintf(slash, room, "/%s", HELPER) < room && access(path, X_OK) == 0)
        return;
    strcpy(path, HELPER); // NOLINT(clang-analyzer-security.insecureAPI.strcpy)
}

/* The helper gets no stdin and no stdout, its stderr comes here, and whatever signals the caller
 * has blocked for itself the helper has not. */
static int spawn(char *const argv[], int stderr_fd, pid_t *pid)
{
    char path[PATH_MAX];
    find_helper(path);

    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    if (posix_spawn_file_actions_init(&actions) != 0)
        return ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return ENOMEM;
    }
    int rc = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&actions, stderr_fd, STDERR_FILENO);
    if (rc == 0)
        rc = posix_spawnattr_setsigmask(&attributes, &none);
    if (rc == 0)
        rc = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    if (rc == 0)
        rc = posix_spawnp(pid, path, &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

/* Reads to the end, so that the helper never blocks; keeps the first line. */
static void read_line(int fd, char *line, size_t size)
{
    size_t used = 0;
    for (;;) {
        char rest[256];
        bool full = used == size - 1;
        ssize_t n = full ? read(fd, rest, sizeof(rest)) : read(fd, line + used, size - 1 - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        used += full ? 0 : (size_t)n;
    }
    line[used] = '\0';
    line[strcspn(line, "\n")] = '\0';
}

static int wait_for(pid_t pid, const char *line, struct thaw_error *err)
{
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return thaw_fail(err, errno, "waitpid");
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (line[0] != '\0')
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EIO, "%s", line);
    if (WIFSIGNALED(status))
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EIO, HELPER ": killed by signal %d",
                            WTERMSIG(status));
    return thaw_fail_as(err, THAW_FAIL_IMAGE, EIO, HELPER ": exited with status %d",
                        WEXITSTATUS(status));
}

int rootfs_helper_pack(const struct bundle *bundle, const char *output, struct thaw_error *err)
{
    cleanup(command_free) struct command command = {0};
    if (build_command(bundle, output, &command) < 0)
        return thaw_fail(err, ENOMEM, HELPER);

    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return thaw_fail(err, errno, "pipe");
    cleanup_close int reader = fds[0];
    cleanup_close int writer = fds[1];

    pid_t pid;
    int code = spawn(command.argv, writer, &pid);
    if (code == ENOENT)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, ENOENT,
                            HELPER ": not found, neither next to this program nor in PATH");
    if (code != 0) {
        thaw_fail(err, code, HELPER);
        return thaw_reclassify(err, THAW_FAIL_IMAGE);
    }
    close(take_fd(&writer));

    char line[THAW_ERROR_MESSAGE_MAX];
    read_line(reader, line, sizeof(line));
    return wait_for(pid, line, err);
}

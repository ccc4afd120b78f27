/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/image/assemble.h"

#include "vmm/base/cleanup.h"
#include "vmm/bundle/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define MKFS "mkfs.erofs"

int assemble_check_program(const char *program, const char *package, struct thaw_error *err)
{
    const char *path = getenv("PATH");
    for (const char *at = path ? path : "/usr/bin:/bin"; *at != '\0';) {
        size_t length = strcspn(at, ":");
        char candidate[PATH_MAX];
        int n = snprintf(candidate, sizeof(candidate), "%.*s/%s", (int)length, at, program);
        if (n > 0 && (size_t)n < sizeof(candidate) && access(candidate, X_OK) == 0)
            return 0;
        at += length + (at[length] == ':');
    }
    return thaw_fail_as(err, THAW_FAIL_IMAGE, ENOENT,
                        "%s: not found in PATH; install the package %s", program, package);
}

/* ---- unpacking ----------------------------------------------------------------------------- */

static int unpack_layers(const struct assembly *assembly, int root,
                         const struct image_progress *progress, struct thaw_error *err)
{
    cleanup(unpack_free) struct unpack unpack;
    int rc = unpack_begin(&unpack, root, err);
    for (size_t i = 0; rc == 0 && i < assembly->layer_count; i++) {
        image_step(progress, "unpacking layer %zu of %zu", i + 1, assembly->layer_count);
        rc = layer_unpack(&assembly->layers[i], &unpack, err);
        if (rc < 0)
            thaw_context(err, "layer %zu", i + 1);
    }
    return rc < 0 ? rc : unpack_finish(&unpack, err);
}

static int unpack_all(const struct assembly *assembly, const struct image_progress *progress,
                      struct thaw_error *err)
{
    cleanup_close int root = open(assembly->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* The root directory of an image whose layers have no entry for it. */
    if (root < 0 || fchmod(root, 0755) < 0)
        return thaw_fail_io(err, errno, "%s", assembly->root);
    return unpack_layers(assembly, root, progress, err);
}

/* ---- packing ------------------------------------------------------------------------------- */

struct survey {
    const char *root;
    time_t newest;
};

/* mkfs.erofs would go into what is mounted there, /proc for one, and pack it. */
static int survey_entry(void *context, const struct tree_entry *entry, struct thaw_error *err)
{
    struct survey *survey = context;
    struct statx st;
    if (entry->st->st_mtime > survey->newest)
        survey->newest = entry->st->st_mtime;
    if (entry->path[0] == '\0' || !S_ISDIR(entry->st->st_mode))
        return 0;
    if (statx(entry->dir_fd, entry->name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, &st) < 0 ||
        !(st.stx_attributes & STATX_ATTR_MOUNT_ROOT))
        return 0;
    return thaw_fail_as(err, THAW_FAIL_IMAGE, EBUSY,
                        "%s/%s: something is mounted there; unmount it first", survey->root,
                        entry->path);
}

/* The line that says what went wrong: the first "<E> ..." of mkfs.erofs's, or else the last. */
static void keep_line(const char *line, char *kept, size_t size)
{
    bool has_error = strncmp(kept, "<E>", 3) == 0;
    if (line[0] != '\0' && !has_error)
        snprintf(kept, size, "%s", line);
}

static void read_complaint(int fd, char *kept, size_t size)
{
    cleanup_fclose FILE *stream = fdopen(fd, "r");
    char line[512];
    kept[0] = '\0';
    if (!stream) {
        close(fd);
        return;
    }
    while (fgets(line, sizeof(line), stream)) {
        line[strcspn(line, "\n")] = '\0';
        keep_line(line, kept, size);
    }
}

static int spawn_mkfs(char *const argv[], int stderr_fd, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    int code = posix_spawn_file_actions_init(&actions);
    if (code != 0)
        return code;
    code = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (code == 0)
        code = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (code == 0)
        code = posix_spawn_file_actions_adddup2(&actions, stderr_fd, STDERR_FILENO);
    if (code == 0)
        code = posix_spawnp(pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

static int judge_mkfs(int status, const char *complaint, const struct assembly *assembly,
                      struct thaw_error *err)
{
    struct stat st;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && stat(assembly->output, &st) == 0 &&
        st.st_size > 0)
        return 0;
    if (WIFSIGNALED(status))
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EIO, MKFS ": killed by signal %d",
                            WTERMSIG(status));
    return thaw_fail_as(err, THAW_FAIL_IMAGE, EIO, MKFS ": %s",
                        complaint[0] ? complaint : "failed without a word");
}

/* Not compressed: the guest kernel reads plain EROFS only, and a page of a plain file is shared by
 * every guest through the host's page cache. */
static int run_mkfs(const struct assembly *assembly, struct thaw_error *err)
{
    char uuid[2 + UUID_TEXT_SIZE];
    snprintf(uuid, sizeof(uuid), "-U%s", assembly->uuid);
    char *const argv[] = {(char *)MKFS,           (char *)"-d1", uuid, (char *)assembly->output,
                          (char *)assembly->root, NULL};
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return thaw_fail(err, errno, "pipe");
    pid_t pid;
    int code = spawn_mkfs(argv, fds[1], &pid);
    close(fds[1]);
    if (code != 0) {
        close(fds[0]);
        thaw_fail(err, code, MKFS);
        return thaw_reclassify(err, THAW_FAIL_IMAGE);
    }
    char complaint[512];
    read_complaint(fds[0], complaint, sizeof(complaint));
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return thaw_fail(err, errno, "waitpid");
    }
    return judge_mkfs(status, complaint, assembly, err);
}

static int pack(const struct assembly *assembly, struct thaw_error *err)
{
    struct survey survey = {.root = assembly->root};
    int rc = tree_walk(assembly->root, survey_entry, &survey, err);
    if (rc < 0)
        return rc;
    /* mkfs.erofs keeps times that are not later than this, and stamps the file system with it. */
    char epoch[32];
    snprintf(epoch, sizeof(epoch), "%lld", (long long)survey.newest);
    if (setenv("SOURCE_DATE_EPOCH", epoch, 1) < 0)
        return thaw_fail(err, errno, "setenv");
    return run_mkfs(assembly, err);
}

int assemble(const struct assembly *assembly, const struct image_progress *progress,
             struct thaw_error *err)
{
    umask(0022);
    int rc = assembly->layer_count > 0 ? unpack_all(assembly, progress, err) : 0;
    if (rc < 0)
        return rc;
    image_step(progress, "packing");
    return pack(assembly, err);
}

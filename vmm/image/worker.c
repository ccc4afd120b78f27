/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/image/worker.h"

#include "vmm/base/cleanup.h"
#include "vmm/base/command.h"
#include "vmm/image/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <spawn.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#define LINE_MAX_SIZE (THAW_ERROR_MESSAGE_MAX + 64)

/* ---- the child ----------------------------------------------------------------------------- */

/* One write each, so that a line is whole or not there. Text from a layer may hold anything. */
static void say(const char *word, const char *text)
{
    char line[LINE_MAX_SIZE];
    int n = snprintf(line, sizeof(line) - 1, "%s %s", word, text);
    size_t length = n < 0 ? 0 : (size_t)n < sizeof(line) - 1 ? (size_t)n : sizeof(line) - 2;
    for (size_t i = 0; i < length; i++) {
        if (line[i] == '\n')
            line[i] = '?';
    }
    line[length] = '\n';
    /* Nobody to hear it: the parent is gone, and SIGPIPE has ended this process. */
    if (write(STDOUT_FILENO, line, length + 1) < 0)
        _exit(EXIT_FAILURE);
}

static void say_step(void *ctx, const char *step)
{
    (void)ctx;
    say("step", step);
}

/* "gzip:<hex of the diff_id>:<path>" */
static int read_layer(char *text, struct layer *layer)
{
    char *hex = strchr(text, ':');
    char *path = hex ? strchr(hex + 1, ':') : NULL;
    if (!path)
        return -EINVAL;
    *hex++ = '\0';
    *path++ = '\0';
    layer->path = path;
    int rc = compression_parse(text, &layer->compression);
    return rc < 0 ? rc : digest_parse_hex(hex, &layer->diff_id);
}

static int read_assembly(int argc, char **argv, struct assembly *assembly)
{
    enum { FIXED = 3 };
    if (argc < FIXED)
        return -EINVAL;
    size_t count = (size_t)(argc - FIXED);
    *assembly = (struct assembly){.root = argv[0], .output = argv[1], .uuid = argv[2]};
    assembly->layers = calloc(count + 1, sizeof(*assembly->layers));
    int rc = assembly->layers ? 0 : -ENOMEM;
    for (size_t i = 0; rc == 0 && i < count; i++, assembly->layer_count++)
        rc = read_layer(argv[FIXED + i], &assembly->layers[i]);
    return rc;
}

int worker_main(int argc, char **argv)
{
    static const struct image_progress progress = {.tell = say_step};
    struct assembly assembly = {0};
    struct thaw_error err = {0};
    char number[32];
    /* A group of its own: the parent ends all of it, and nobody's Ctrl-C ends half of it. */
    setpgid(0, 0);
    snprintf(number, sizeof(number), "%d", (int)getpid());
    say("pid", number);

    int rc = read_assembly(argc, argv, &assembly);
    if (rc < 0)
        thaw_fail(&err, -rc, "assemble: arguments");
    else
        rc = assemble(&assembly, &progress, &err);
    free(assembly.layers);
    if (rc == 0) {
        say("done", "");
        return EXIT_SUCCESS;
    }
    char text[LINE_MAX_SIZE];
    snprintf(text, sizeof(text), "%d %d %s", (int)err.failure, err.code, err.message);
    say("error", text);
    return EXIT_FAILURE;
}

/* ---- the parent ---------------------------------------------------------------------------- */

struct worker {
    pid_t child; /* the worker, or fakeroot around it */
    pid_t group; /* the worker's process group; 0: not heard yet */
    int output;
    bool interrupted, done, failed;
    const struct image_progress *progress;
    char line[LINE_MAX_SIZE];
    size_t used;
};

static int add_layer(struct command *command, const struct layer *layer)
{
    char hex[DIGEST_HEX_SIZE];
    digest_hex(&layer->diff_id, hex);
    return command_add(command, "%s:%s:%s", compression_name(layer->compression), hex, layer->path);
}

static int build_command(const struct assembly *assembly, bool fakeroot, struct command *command)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length <= 0)
        return -ENOENT;
    self[length] = '\0';

    int rc = fakeroot ? command_add(command, "fakeroot") : 0;
    if (rc == 0 && fakeroot)
        rc = command_add(command, "--");
    if (rc == 0)
        rc = command_add(command, "%s", self);
    if (rc == 0)
        rc = command_add(command, "assemble");
    if (rc == 0)
        rc = command_add(command, "%s", assembly->root);
    if (rc == 0)
        rc = command_add(command, "%s", assembly->output);
    if (rc == 0)
        rc = command_add(command, "%s", assembly->uuid);
    for (size_t i = 0; rc == 0 && i < assembly->layer_count; i++)
        rc = add_layer(command, &assembly->layers[i]);
    return rc;
}

static int set_actions(posix_spawn_file_actions_t *actions, int output, int held_fd)
{
    int code = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (code == 0)
        code = posix_spawn_file_actions_adddup2(actions, output, STDOUT_FILENO);
    /* To itself: that takes the close-on-exec flag away. */
    if (code == 0)
        code = posix_spawn_file_actions_adddup2(actions, held_fd, held_fd);
    return code;
}

/* No signal is blocked in it, and the terminal's do not reach it. */
static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none;
    sigemptyset(&none);
    int code = posix_spawnattr_setsigmask(attributes, &none);
    if (code == 0)
        code = posix_spawnattr_setpgroup(attributes, 0);
    if (code == 0)
        code = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    return code;
}

static int spawn(char *const argv[], int output, int held_fd, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int code = posix_spawn_file_actions_init(&actions);
    if (code != 0)
        return code;
    code = posix_spawnattr_init(&attributes);
    if (code != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return code;
    }
    code = set_actions(&actions, output, held_fd);
    if (code == 0)
        code = set_attributes(&attributes);
    if (code == 0)
        code = posix_spawnp(pid, argv[0], &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

/* fakeroot stays, to end its daemon: it is done when the worker is. */
static void end_worker(const struct worker *worker)
{
    if (worker->interrupted && worker->group > 1)
        kill(-worker->group, SIGKILL);
}

static void take_error(struct worker *worker, const char *text, struct thaw_error *err)
{
    int failure = 0, code = 0, used = 0;
    if (sscanf(text, "%d %d %n", &failure, &code, &used) < 2 || used == 0)
        return;
    thaw_fail_as(err, (enum thaw_failure)failure, code, "%s", text + used);
    worker->failed = true;
}

static void take_line(struct worker *worker, const char *line, struct thaw_error *err)
{
    if (strncmp(line, "step ", 5) == 0) {
        image_step(worker->progress, "%s", line + 5);
    } else if (strncmp(line, "pid ", 4) == 0) {
        worker->group = (pid_t)strtol(line + 4, NULL, 10);
        end_worker(worker);
    } else if (strncmp(line, "error ", 6) == 0 && !worker->interrupted) {
        take_error(worker, line + 6, err);
    } else if (strncmp(line, "done", 4) == 0) {
        worker->done = true;
    }
}

static void take_lines(struct worker *worker, struct thaw_error *err)
{
    char *newline;
    while ((newline = memchr(worker->line, '\n', worker->used))) {
        *newline = '\0';
        take_line(worker, worker->line, err);
        size_t taken = (size_t)(newline + 1 - worker->line);
        worker->used -= taken;
        memmove(worker->line, newline + 1, worker->used);
    }
    if (worker->used == sizeof(worker->line))
        worker->used = 0; /* no line of ours is that long */
}

/* False at the end of the pipe: every process that had it has ended. */
static bool hear(struct worker *worker, struct thaw_error *err)
{
    ssize_t n =
        read(worker->output, worker->line + worker->used, sizeof(worker->line) - worker->used);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    if (n == 0)
        return false;
    worker->used += (size_t)n;
    take_lines(worker, err);
    return true;
}

static void follow(struct worker *worker, struct thaw_error *err)
{
    sigset_t set;
    interrupt_set(&set);
    cleanup_close int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    struct pollfd fds[] = {{.fd = worker->output, .events = POLLIN},
                           {.fd = signals, .events = POLLIN}};
    for (;;) {
        poll(fds, 2, -1);
        if (fds[1].revents && interrupt_check(err) < 0) {
            worker->interrupted = true;
            end_worker(worker);
        }
        if (fds[0].revents && !hear(worker, err))
            return;
    }
}

static int judge(const struct worker *worker, int status, struct thaw_error *err)
{
    if (worker->interrupted || worker->failed)
        return thaw_error_code(err);
    if (worker->done)
        return 0;
    if (WIFSIGNALED(status))
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EIO, "unpacking: killed by signal %d",
                            WTERMSIG(status));
    return thaw_fail_as(err, THAW_FAIL_IMAGE, EIO, "unpacking: ended early, with status %d",
                        WEXITSTATUS(status));
}

int worker_run(const struct assembly *assembly, bool fakeroot, int held_fd,
               const struct image_progress *progress, struct thaw_error *err)
{
    cleanup(command_free) struct command command = {0};
    int rc = build_command(assembly, fakeroot, &command);
    if (rc < 0)
        return thaw_fail(err, -rc, "thaw-image");
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return thaw_fail(err, errno, "pipe");
    cleanup_close int reader = fds[0];
    struct worker worker = {.output = reader, .progress = progress};
    int code = spawn(command.argv, fds[1], held_fd, &worker.child);
    close(fds[1]);
    if (code != 0) {
        thaw_fail(err, code, "%s", command.argv[0]);
        return thaw_reclassify(err, THAW_FAIL_IMAGE);
    }

    follow(&worker, err);
    int status;
    while (waitpid(worker.child, &status, 0) < 0) {
        if (errno != EINTR)
            return thaw_fail(err, errno, "waitpid");
    }
    return judge(&worker, status, err);
}

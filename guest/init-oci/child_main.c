/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/child_main.h"

#include "guest/init-oci/child.h"
#include "guest/init-oci/credentials.h"
#include "guest/init-oci/devices.h"
#include "guest/init-oci/file.h"
#include "guest/init-oci/mounts.h"
#include "guest/init-oci/path.h"
#include "guest/init-oci/rootfs.h"
#include "guest/init-oci/sysctl.h"
#include "guest/init-oci/terminal.h"
#include "guest/init-oci/workload.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define DEFAULT_UMASK 0022
#define FIRST_FREE    3 /* after the standard streams */

struct preparation {
    const struct spec *spec;
    int reports, orders;
    int terminal; /* pty master; -1: none */
    char *home;   /* "HOME=..." */
};

/* ---- pipes to PID 1 ----------------------------------------------------------------------- */

static void report(const struct preparation *p, enum child_report_kind kind,
                   const struct failure *failure)
{
    struct child_report message = {.kind = kind, .terminal = p->terminal};
    if (failure)
        message.failure = *failure;
    /* Without PID 1 there is no machine: nobody is left to see an error. */
    file_write_full(p->reports, &message, sizeof(message));
}

static int await_order(const struct preparation *p, struct failure *failure)
{
    char order;
    int rc = file_read_full(p->orders, &order, sizeof(order));
    return rc < 0 ? fail(failure, -rc, "order") : 0;
}

/* ---- descriptors -------------------------------------------------------------------------- */

static void close_between(int after, int before)
{
    if (after + 1 < before)
        syscall(SYS_close_range, (unsigned)after + 1, (unsigned)before - 1, 0);
}

/* Init's descriptors, the control port's above all, end here and not only at the execve. */
static int adopt_streams(const struct preparation *p, const int streams[3], struct failure *failure)
{
    for (int i = 0; i < FIRST_FREE; i++) {
        if (dup2(streams[i], i) < 0)
            return fail(failure, errno, "standard streams");
    }
    int low = p->reports < p->orders ? p->reports : p->orders;
    int high = p->reports < p->orders ? p->orders : p->reports;
    close_between(FIRST_FREE - 1, low);
    close_between(low, high);
    close_between(high, INT_MAX);
    return 0;
}

/* ---- the workload's world ----------------------------------------------------------------- */

static int enter_namespaces(const struct spec *spec, struct failure *failure)
{
    int rc = spec->namespaces & CLONE_NEWUSER ? credentials_become_namespace_root(failure) : 0;
    if (rc < 0)
        return rc;
    if ((spec->namespaces & CLONE_NEWCGROUP) && unshare(CLONE_NEWCGROUP) < 0)
        return fail(failure, errno, "cgroup namespace");
    /* A session of its own; EPERM would say that it leads one already, and a new child leads
     * none. */
    if (setsid() < 0)
        return fail(failure, errno, "setsid");
    return 0;
}

static int fill_root(const struct spec *spec, int root, struct failure *failure)
{
    int *late = NULL;
    int rc = mounts_apply(spec, root, &late, failure);
    if (rc == 0)
        rc = devices_create(spec, root, failure);
    if (rc < 0) {
        free(late); /* its descriptors end with the process, which is about to */
        return rc;
    }
    return mounts_make_readonly(spec, late, failure);
}

/* As runc: a working directory that the image lacks is made. */
static int make_cwd(const struct spec *spec, int root, struct failure *failure)
{
    cleanup_close int cwd = path_make_directory(root, spec->cwd);
    return cwd < 0 ? fail(failure, -cwd, "cwd %s", spec->cwd) : 0;
}

static int build_root(struct preparation *p, struct failure *failure)
{
    const struct spec *spec = p->spec;
    cleanup_close int root = rootfs_open(failure);
    int rc = root < 0 ? root : fill_root(spec, root, failure);
    if (rc == 0)
        rc = make_cwd(spec, root, failure);
    if (rc == 0)
        rc = rootfs_enter(root, failure);
    if (rc == 0 && spec->has_terminal) {
        p->terminal = terminal_open(spec->user.uid, failure);
        rc = p->terminal < 0 ? p->terminal : 0;
    }
    if (rc == 0)
        rc = rootfs_seal(spec, failure);
    return rc;
}

static int set_names(const struct spec *spec, struct failure *failure)
{
    if (spec->hostname && sethostname(spec->hostname, strlen(spec->hostname)) < 0)
        return fail(failure, errno, "hostname %s", spec->hostname);
    if (spec->domainname && setdomainname(spec->domainname, strlen(spec->domainname)) < 0)
        return fail(failure, errno, "domainname %s", spec->domainname);
    return 0;
}

static int build_world(struct preparation *p, struct failure *failure)
{
    /* Init's proc: the workload need not have one, and its sysctls are set all the same. */
    cleanup_close int sysctls = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (sysctls < 0)
        return fail(failure, errno, "/proc/sys");
    int rc = build_root(p, failure);
    if (rc == 0)
        rc = set_names(p->spec, failure);
    if (rc == 0)
        rc = sysctl_apply(p->spec, sysctls, failure);
    if (rc == 0)
        rc = rootfs_hide(p->spec, failure);
    if (rc < 0)
        return rc;

    umask(p->spec->user.umask == THAW_SPEC_NO_UMASK ? DEFAULT_UMASK : p->spec->user.umask);
    p->home = workload_home(p->spec->user.uid);
    return p->home ? 0 : fail(failure, ENOMEM, "HOME");
}

/* ---- execve ------------------------------------------------------------------------------- */

/* Where PID 1 no longer listens, the user still reads the standard error. */
static int complain(const struct failure *failure)
{
    dprintf(STDERR_FILENO, "init-oci: %s\n", failure->reason);
    return WORKLOAD_CANNOT_EXECUTE;
}

/* Returns the exit status where that fails. The filter comes last: then all that it has to allow
 * is the execve. */
static int execute(const struct spec *spec, const char *const *argv, const struct environment *env)
{
    struct failure failure;
    workload_reset_signals();
    if (credentials_apply_late_seccomp(spec, &failure) < 0)
        return complain(&failure);
    return workload_exec(argv, env->entries);
}

/* ---- warm-up ------------------------------------------------------------------------------ */

/* A pipe that nobody writes: at its end from the start. The workload's own input stays whole. */
static bool read_nothing(void)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0 || dup2(ends[0], STDIN_FILENO) < 0)
        return false;
    close(ends[0]);
    close(ends[1]);
    return true;
}

static _Noreturn void run_warmup(const struct preparation *p, const struct environment *env)
{
    const char *const argv[] = {"/bin/sh", "-c", p->spec->warmup, NULL};
    struct failure failure;
    /* In a session of its own, so that a signal to its group does not reach the workload. */
    if (setsid() < 0 || !read_nothing()) {
        fail(&failure, errno, "warm-up command");
        _exit(complain(&failure));
    }
    _exit(execute(p->spec, argv, env));
}

static int check_warmup(int status, struct failure *failure)
{
    if (WIFSIGNALED(status))
        return fail_plainly(failure, "warm-up command ended by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        return fail_plainly(failure, "warm-up command exited with status %d", WEXITSTATUS(status));
    return 0;
}

/* What the command leaves running goes on; what of it ends meanwhile is reaped, since in a PID
 * namespace the workload would inherit it. */
static int warm_up(const struct preparation *p, struct failure *failure)
{
    if (!p->spec->warmup)
        return 0;
    struct environment env;
    if (environment_create(p->spec, p->home, &env) < 0)
        return fail(failure, ENOMEM, "warm-up command");
    pid_t pid = fork();
    if (pid == 0)
        run_warmup(p, &env);
    environment_free(&env);
    if (pid < 0)
        return fail(failure, errno, "warm-up command");

    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return fail(failure, errno, "warm-up command");
    }
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    return check_warmup(status, failure);
}

/* ---- from birth to execve ----------------------------------------------------------------- */

static int prepare(struct preparation *p, const int streams[3], struct failure *failure)
{
    int rc = adopt_streams(p, streams, failure);
    if (rc == 0)
        rc = await_order(p, failure);
    if (rc == 0)
        rc = enter_namespaces(p->spec, failure);
    if (rc == 0)
        rc = build_world(p, failure);
    if (rc < 0)
        return rc;

    report(p, CHILD_CREATED, NULL);
    rc = await_order(p, failure);
    file_close(&p->terminal);
    if (rc == 0)
        rc = credentials_apply(p->spec, failure);
    if (rc == 0)
        rc = warm_up(p, failure);
    return rc;
}

/* After READY the workload has begun as far as anybody can tell: what fails is its own end. */
static int begin(const struct preparation *p, const struct invocation *invocation)
{
    struct environment env;
    int rc = environment_create(p->spec, p->home, &env);
    for (size_t i = 0; rc == 0 && i < invocation->envc; i++)
        rc = environment_put(&env, invocation->envp[i]);
    if (rc < 0) {
        struct failure failure;
        fail(&failure, -rc, "environment");
        return complain(&failure);
    }
    return execute(p->spec, invocation->argc > 0 ? invocation->argv : p->spec->args.items, &env);
}

_Noreturn void child_main(const struct spec *spec, const int streams[3], int reports, int orders)
{
    struct preparation p = {.spec = spec, .reports = reports, .orders = orders, .terminal = -1};
    struct failure failure = {.reason = ""};
    if (prepare(&p, streams, &failure) < 0) {
        report(&p, CHILD_FAILED, &failure);
        _exit(EXIT_FAILURE);
    }
    report(&p, CHILD_READY, NULL);

    struct invocation invocation;
    if (invocation_receive(orders, &invocation) < 0)
        _exit(WORKLOAD_CANNOT_EXECUTE);
    _exit(begin(&p, &invocation));
}

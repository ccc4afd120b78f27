/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/credentials.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* prctl(2) takes longs, which a variadic function does not make of ints. */
static int process_option(int option, unsigned long first, unsigned long second)
{
    return prctl(option, first, second, 0ul, 0ul);
}

int credentials_become_namespace_root(struct failure *failure)
{
    if (setresgid(0, 0, 0) < 0)
        return fail(failure, errno, "user namespace: gid 0");
    if (setresuid(0, 0, 0) < 0)
        return fail(failure, errno, "user namespace: uid 0");
    return 0;
}

/* ---- seccomp ------------------------------------------------------------------------------ */

static int install_filter(const struct spec *spec, struct failure *failure)
{
    if (spec->seccomp.count == 0)
        return 0;
    /* The kernel only reads the filter, although its structure has no const. */
    struct sock_fprog program = {
        .len = (unsigned short)spec->seccomp.count, /* at most BPF_MAXINSNS, 4096 */
        .filter = (struct sock_filter *)spec->seccomp.items,
    };
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, spec->seccomp_flags, &program) < 0)
        return fail(failure, errno, "seccomp");
    return 0;
}

int credentials_apply_late_seccomp(const struct spec *spec, struct failure *failure)
{
    return spec->no_new_privs ? install_filter(spec, failure) : 0;
}

/* ---- capabilities ------------------------------------------------------------------------- */

static bool has(uint64_t set, unsigned capability)
{
    return set >> capability & 1;
}

/* Up to the last one that this kernel knows. */
static int drop_bounding(uint64_t keep, struct failure *failure)
{
    for (unsigned capability = 0; process_option(PR_CAPBSET_READ, capability, 0) >= 0;
         capability++) {
        if (has(keep, capability))
            continue;
        if (process_option(PR_CAPBSET_DROP, capability, 0) < 0)
            return fail(failure, errno, "capability %u: bounding set", capability);
    }
    return 0;
}

static int set_capabilities(const struct thaw_spec_capabilities *sets, struct failure *failure)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        data[i] = (struct __user_cap_data_struct){
            .effective = (uint32_t)(sets->effective >> (32 * i)),
            .permitted = (uint32_t)(sets->permitted >> (32 * i)),
            .inheritable = (uint32_t)(sets->inheritable >> (32 * i)),
        };
    }
    if (syscall(SYS_capset, &header, data) < 0)
        return fail(failure, errno, "capabilities");
    return 0;
}

static int raise_ambient(uint64_t ambient, struct failure *failure)
{
    if (process_option(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0) < 0)
        return fail(failure, errno, "capabilities: ambient set");
    for (unsigned capability = 0; ambient >> capability; capability++) {
        if (has(ambient, capability) &&
            process_option(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability) < 0)
            return fail(failure, errno, "capability %u: ambient set", capability);
    }
    return 0;
}

/* ---- user and directory ------------------------------------------------------------------- */

static int set_user(const struct spec *spec, struct failure *failure)
{
    const struct thaw_spec_user *user = &spec->user;
    if (setgroups(user->additional_gid_count, spec->additional_gids) < 0)
        return fail(failure, errno, "additional groups");
    if (setresgid(user->gid, user->gid, user->gid) < 0)
        return fail(failure, errno, "gid %u", user->gid);
    if (setresuid(user->uid, user->uid, user->uid) < 0)
        return fail(failure, errno, "uid %u", user->uid);
    return 0;
}

/* As root first and, where root may not, as the user: one of the two has the right to a home
 * directory on a file system that the other has none on. */
static int change_user(const struct spec *spec, struct failure *failure)
{
    int denied = chdir(spec->cwd) < 0 ? errno : 0;
    if (denied && denied != EACCES)
        return fail(failure, denied, "cwd %s", spec->cwd);

    int rc = drop_bounding(spec->capabilities.bounding, failure);
    if (rc < 0)
        return rc;
    /* A change from uid 0 would empty the permitted set, from which the others are filled. */
    if (process_option(PR_SET_KEEPCAPS, 1, 0) < 0)
        return fail(failure, errno, "capabilities: keep");
    rc = set_user(spec, failure);
    if (rc < 0)
        return rc;
    if (process_option(PR_SET_KEEPCAPS, 0, 0) < 0)
        return fail(failure, errno, "capabilities: keep");
    if (denied && chdir(spec->cwd) < 0)
        return fail(failure, errno, "cwd %s", spec->cwd);
    return 0;
}

int credentials_apply(const struct spec *spec, struct failure *failure)
{
    if (spec->has_personality && personality(spec->personality) < 0)
        return fail(failure, errno, "personality");
    if (spec->no_new_privs && process_option(PR_SET_NO_NEW_PRIVS, 1, 0) < 0)
        return fail(failure, errno, "no_new_privs");

    int rc = spec->no_new_privs ? 0 : install_filter(spec, failure);
    if (rc == 0)
        rc = change_user(spec, failure);
    if (rc == 0)
        rc = set_capabilities(&spec->capabilities, failure);
    if (rc == 0)
        rc = raise_ambient(spec->capabilities.ambient, failure);
    return rc;
}

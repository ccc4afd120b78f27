/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Config.User of an image ("", "user", "uid", "user:group", ...) as numbers, by the image's own
 * /etc/passwd and /etc/group. Pure: texts in, numbers out. Lines that are not well-formed are
 * passed over, as libc does.
 */
#ifndef THAW_IMAGE_USERS_H
#define THAW_IMAGE_USERS_H

#include "vmm/base/error.h"

#include <stddef.h>
#include <stdint.h>

#define USER_GROUPS_MAX 256

struct image_user {
    uint32_t uid, gid;
    uint32_t groups[USER_GROUPS_MAX]; /* further ones, in the order of /etc/group */
    size_t group_count;
    char home[256]; /* "/" when passwd does not say */
};

/*
 * `passwd` and `group` are the files' texts, "" where there is none. A number need not be in
 * passwd; without a group it then has group 0. The further groups are those that list the user,
 * and only when `spec` names no group itself. A name that is not there is THAW_FAIL_IMAGE.
 */
int image_user_resolve(const char *spec, const char *passwd, const char *group,
                       struct image_user *user, struct thaw_error *err);

#endif

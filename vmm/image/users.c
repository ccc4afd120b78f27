/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/image/users.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define PASSWD_FIELDS 7 /* name:password:uid:gid:gecos:home:shell */
#define GROUP_FIELDS  4 /* name:password:gid:members */

struct text {
    const char *at;
    size_t length;
};

static bool equals(struct text text, const char *other)
{
    return text.length == strlen(other) && memcmp(text.at, other, text.length) == 0;
}

static bool equal(struct text a, struct text b)
{
    return a.length == b.length && memcmp(a.at, b.at, a.length) == 0;
}

/* Decimal, below 2^32 - 1: that one stands for "no id" in system calls. */
static bool to_number(struct text text, uint32_t *number)
{
    uint64_t value = 0;
    if (text.length == 0 || text.length > 10)
        return false;
    for (size_t i = 0; i < text.length; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text.at[i] - '0');
    }
    *number = (uint32_t)value;
    return value < UINT32_MAX;
}

/* Takes the next line, without its newline. */
static bool next_line(const char **at, struct text *line)
{
    if (**at == '\0')
        return false;
    *line = (struct text){*at, strcspn(*at, "\n")};
    *at += line->length + ((*at)[line->length] == '\n');
    return true;
}

/* Takes what is before the next separator. */
static struct text next_field(struct text *rest, char separator)
{
    const char *end = rest->length > 0 ? memchr(rest->at, separator, rest->length) : NULL;
    struct text field = {rest->at, end ? (size_t)(end - rest->at) : rest->length};
    size_t taken = field.length + (end ? 1 : 0);
    *rest = (struct text){rest->at + taken, rest->length - taken};
    return field;
}

static size_t split(struct text line, struct text *fields, size_t max)
{
    size_t count = 0;
    while (count < max) {
        bool last = line.length == 0 || !memchr(line.at, ':', line.length);
        fields[count++] = next_field(&line, ':');
        if (last)
            break;
    }
    return count;
}

struct account {
    struct text name;
    uint32_t uid, gid;
    struct text home;
};

/* By name, or by number. A name that is all digits is looked for as a name first. */
static bool find_account(const char *passwd, struct text wanted, struct account *account)
{
    uint32_t number = 0;
    bool numeric = to_number(wanted, &number), found = false;
    struct text line;
    while (next_line(&passwd, &line)) {
        struct text fields[PASSWD_FIELDS];
        struct account at;
        if (split(line, fields, PASSWD_FIELDS) < PASSWD_FIELDS - 1 ||
            !to_number(fields[2], &at.uid) || !to_number(fields[3], &at.gid))
            continue;
        at.name = fields[0];
        at.home = fields[5];
        bool by_name = equal(at.name, wanted);
        if (by_name || (numeric && !found && at.uid == number)) {
            *account = at;
            found = true;
        }
        if (by_name)
            break;
    }
    return found;
}

static bool read_group(struct text line, struct text fields[GROUP_FIELDS], uint32_t *gid)
{
    return split(line, fields, GROUP_FIELDS) >= GROUP_FIELDS - 1 && to_number(fields[2], gid);
}

static bool find_group(const char *group, struct text wanted, uint32_t *gid)
{
    struct text line, fields[GROUP_FIELDS];
    uint32_t number;
    while (next_line(&group, &line)) {
        if (read_group(line, fields, &number) && equal(fields[0], wanted)) {
            *gid = number;
            return true;
        }
    }
    return to_number(wanted, gid);
}

static bool lists(struct text members, struct text name)
{
    while (members.length > 0) {
        if (equal(next_field(&members, ','), name))
            return true;
    }
    return false;
}

static int add_groups(const char *group, struct text name, struct image_user *user,
                      struct thaw_error *err)
{
    struct text line;
    while (next_line(&group, &line)) {
        struct text fields[GROUP_FIELDS] = {0};
        uint32_t gid;
        if (!read_group(line, fields, &gid) || gid == user->gid || !lists(fields[3], name))
            continue;
        if (user->group_count == USER_GROUPS_MAX)
            return thaw_fail_as(err, THAW_FAIL_IMAGE, E2BIG, "/etc/group: more than %d groups",
                                USER_GROUPS_MAX);
        user->groups[user->group_count++] = gid;
    }
    return 0;
}

static void take_home(const struct account *account, struct image_user *user)
{
    if (account->home.length > 0 && account->home.at[0] == '/' &&
        account->home.length < sizeof(user->home))
        snprintf(user->home, sizeof(user->home), "%.*s", (int)account->home.length,
                 account->home.at);
}

static int resolve_user(struct text wanted, const char *passwd, struct account *account,
                        struct image_user *user, struct thaw_error *err)
{
    if (find_account(passwd, wanted, account)) {
        user->uid = account->uid;
        user->gid = account->gid;
        take_home(account, user);
        return 0;
    }
    if (to_number(wanted, &user->uid))
        return 0;
    return thaw_fail_as(err, THAW_FAIL_IMAGE, ENOENT,
                        "user %.*s: not in the image's /etc/passwd, and no number",
                        (int)wanted.length, wanted.at);
}

int image_user_resolve(const char *spec, const char *passwd, const char *group,
                       struct image_user *user, struct thaw_error *err)
{
    *user = (struct image_user){.home = "/"};
    struct text rest = {spec, strlen(spec)};
    bool has_group = strchr(spec, ':');
    struct text wanted = next_field(&rest, ':');
    if (wanted.length == 0)
        wanted = (struct text){"0", 1};

    struct account account = {0};
    int rc = resolve_user(wanted, passwd, &account, user, err);
    if (rc < 0)
        return rc;
    if (!has_group || equals(rest, ""))
        return account.name.length > 0 ? add_groups(group, account.name, user, err) : 0;
    if (find_group(group, rest, &user->gid))
        return 0;
    return thaw_fail_as(err, THAW_FAIL_IMAGE, ENOENT,
                        "group %.*s: not in the image's /etc/group, and no number",
                        (int)rest.length, rest.at);
}

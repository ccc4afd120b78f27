/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/raws.h"
#include "vmm/base/cleanup.h"

#include <errno.h>
#include <string.h>

static bool is_json(const char *name)
{
    size_t length = strlen(name);
    return name[0] != '.' && length > 5 && strcmp(name + length - 5, ".json") == 0;
}

static size_t place_of(const char *part)
{
    static const char *const first[] = {"boot",   "restore",      "load", "capture",
                                        "clones", "clones-linux", "cold", "footprint"};
    size_t place = 0;
    while (place < sizeof(first) / sizeof(first[0]) && strcmp(part, first[place]) != 0)
        place++;
    return place;
}

static int by_place(const void *a, const void *b)
{
    const struct raw *x = a, *y = b;
    size_t p = place_of(x->part), q = place_of(y->part);
    return p != q ? (p > q) - (p < q) : strcmp(x->part, y->part);
}

static int read_one(const char *folder, const char *name, struct raws *raws, struct thaw_error *err)
{
    struct raw *list = reallocarray(raws->list, raws->count + 1, sizeof(*list));
    cleanup_free char *path = NULL;
    if (list)
        raws->list = list;
    if (!list || asprintf(&path, "%s/%s", folder, name) < 0)
        return thaw_fail(err, ENOMEM, "%s", name);
    return raw_read(path, &raws->list[raws->count++], err);
}

static int check(const char *folder, const struct raws *raws, struct thaw_error *err)
{
    if (raws->count == 0)
        return thaw_fail_as(err, THAW_FAIL_IO, ENOENT, "%s: no raw figures (*.json) are there",
                            folder);
    for (size_t i = 1; i < raws->count; i++)
        if (strcmp(raws->list[i].part, raws->list[i - 1].part) == 0)
            return thaw_fail_as(err, THAW_FAIL_CONFIG, EEXIST, "%s: part \"%s\" is in %s, too",
                                raws->list[i].file, raws->list[i].part, raws->list[i - 1].file);
    return 0;
}

int raws_read(const char *folder, struct raws *raws, struct thaw_error *err)
{
    cleanup_closedir DIR *dir = opendir(folder);
    if (!dir)
        return thaw_fail_io(err, errno, "%s", folder);
    int rc = 0;
    for (const struct dirent *entry; rc == 0 && (entry = readdir(dir));)
        if (is_json(entry->d_name))
            rc = read_one(folder, entry->d_name, raws, err);
    if (rc < 0)
        return rc;
    if (raws->count > 0)
        qsort(raws->list, raws->count, sizeof(*raws->list), by_place);
    return check(folder, raws, err);
}

void raws_free(struct raws *raws)
{
    for (size_t i = 0; i < raws->count; i++)
        raw_free(&raws->list[i]);
    free(raws->list);
    *raws = (struct raws){0};
}

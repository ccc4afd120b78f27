/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flip-bits SNAPSHOT FLIPS MENDED [SEED]: damages a real snapshot, which must have a working set
 * and is changed meanwhile, and looks at what a restore says of it. Built with the sanitizers.
 *
 * FLIPS times one byte of one of its files is another. Then a restore must refuse it, or, where a
 * restore does not look (the pages of `memory`, and of the working set), verify must.
 *
 * Then the working set is removed, and MENDED times one byte of a section of `state` is another and
 * every checksum is right. restore_build() goes all the way up to the instant before KVM_RUN: it
 * may fail, with a failure and a sentence, or succeed.
 *
 * A busy machine does less: each of the two ends after SECONDS.
 */
#include "snapshot/restore.h"
#include "vmm/base/clock.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#define SECONDS 12u

struct target {
    const char *name;
    uint64_t size;
    unsigned weight; /* of all 32 */
    unsigned flips;
    int fd;
    bool at_open; /* a restore looks at every byte */
};

static struct target targets[] = {
    {.name = SNAPSHOT_STATE, .weight = 18, .at_open = true},
    {.name = SNAPSHOT_INDEX, .weight = 10, .at_open = true},
    {.name = SNAPSHOT_WORKING_SET, .weight = 3},
    {.name = SNAPSHOT_MEMORY, .weight = 1},
};
#define TARGETS (sizeof(targets) / sizeof(*targets))

static uint64_t random_state;

/* splitmix64 */
static uint64_t random_number(uint64_t below)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *what, ...)
{
    va_list args;
    va_start(args, what);
    (void)vfprintf(stderr, what, args);
    (void)fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static void open_targets(const char *path)
{
    for (size_t i = 0; i < TARGETS; i++) {
        char name[4096];
        struct stat st;
        (void)snprintf(name, sizeof(name), "%s/%s", path, targets[i].name);
        targets[i].fd = open(name, O_RDWR | O_CLOEXEC);
        if (targets[i].fd < 0 || fstat(targets[i].fd, &st) < 0)
            die("%s: cannot be opened", name);
        targets[i].size = (uint64_t)st.st_size;
    }
}

static struct target *choose(void)
{
    uint64_t at = random_number(32);
    size_t i = 0;
    for (; i + 1 < TARGETS && at >= targets[i].weight; i++)
        at -= targets[i].weight;
    return &targets[i];
}

static bool in_time(uint64_t since_ns)
{
    return clock_monotonic_ns() - since_ns < SECONDS * 1000000000ull;
}

/* ---- one byte ----------------------------------------------------------------------------- */

static const struct restore_config *config_of(const char *path)
{
    static struct restore_config config;
    config = (struct restore_config){.path = path, .console_fd = STDERR_FILENO};
    return &config;
}

static bool is_defined(const struct thaw_error *err)
{
    return err->failure >= THAW_FAIL_SNAPSHOT && err->failure <= THAW_FAIL_SNAPSHOT_DISK &&
           err->message[0] != '\0';
}

/* Whether the damage is found, and where it has to be. */
static bool is_refused(const char *path, const struct target *target, struct thaw_error *err)
{
    struct restore restore;
    int rc = restore_open(&restore, config_of(path), err);
    bool opened = rc == 0;
    if (rc == 0 && !target->at_open)
        rc = restore_verify(&restore, NULL, NULL, err);
    restore_close(&restore);
    return rc < 0 && is_defined(err) && (!opened || !target->at_open);
}

static void flip(const char *path)
{
    struct target *target = choose();
    struct thaw_error err = {0};
    uint64_t offset = random_number(target->size);
    uint8_t before, after;
    if (pread(target->fd, &before, 1, (off_t)offset) != 1)
        die("%s: cannot be read", target->name);
    after = (uint8_t)(before ^ (1 + random_number(255)));
    if (pwrite(target->fd, &after, 1, (off_t)offset) != 1)
        die("%s: cannot be written", target->name);
    bool refused = is_refused(path, target, &err);
    if (pwrite(target->fd, &before, 1, (off_t)offset) != 1)
        die("%s: cannot be written", target->name);
    if (!refused)
        die("%s: byte %" PRIu64 " was 0x%02x and is 0x%02x: not refused as it should be: %s",
            target->name, offset, before, after, err.message);
    target->flips++;
}

/* ---- one byte, and its checksum ----------------------------------------------------------- */

static struct blob read_state(void)
{
    struct blob file = {.data = malloc(targets[0].size), .size = targets[0].size};
    if (!file.data || pread(targets[0].fd, file.data, file.size, 0) != (ssize_t)file.size)
        die("%s: cannot be read", targets[0].name);
    return file;
}

static void write_state(const struct blob *file)
{
    if (pwrite(targets[0].fd, file->data, file->size, 0) != (ssize_t)file->size)
        die("%s: cannot be written", targets[0].name);
}

static void tamper(struct blob *file)
{
    struct snapshot_header header;
    struct snapshot_section section;
    memcpy(&header, file->data, sizeof(header));
    uint8_t *entry =
        file->data + sizeof(header) + random_number(header.section_count) * sizeof(section);
    memcpy(&section, entry, sizeof(section));
    uint8_t *content = file->data + section.offset;
    /* Half of them early in the section: there the counts and lengths are. */
    uint64_t room = section.length < 64 || random_number(2) ? section.length : 64;
    content[random_number(room)] ^= (uint8_t)(1 + random_number(255));
    section.checksum = XXH3_64bits(content, section.length);
    memcpy(entry, &section, sizeof(section));
    header.checksum = 0;
    memcpy(file->data, &header, sizeof(header));
    header.checksum =
        XXH3_64bits(file->data, sizeof(header) + header.section_count * sizeof(section));
    memcpy(file->data, &header, sizeof(header));
}

/* Whether it could run; it does not. */
static bool build(const char *path)
{
    struct restore restore;
    struct thaw_error err = {0};
    const struct mailbox_content mailbox = {0};
    struct machine *machine = NULL;
    int rc = restore_open(&restore, config_of(path), &err);
    if (rc == 0)
        rc = restore_build(&restore, &mailbox, &machine, &err);
    restore_stop(&restore);
    machine_destroy(machine);
    restore_close(&restore);
    if (rc < 0 && (err.failure == THAW_FAIL_NONE || err.message[0] == '\0'))
        die("a restore failed without a word");
    return rc == 0;
}

struct counts {
    unsigned tried, built;
};

static struct counts mended(const char *path, unsigned long count)
{
    char working_set[4096];
    (void)snprintf(working_set, sizeof(working_set), "%s/" SNAPSHOT_WORKING_SET, path);
    if (unlink(working_set) < 0) /* it would be another snapshot's */
        die("%s: cannot be removed", working_set);
    struct blob whole = read_state();
    struct counts counts = {0};
    uint64_t since_ns = clock_monotonic_ns();
    for (; counts.tried < count && in_time(since_ns); counts.tried++) {
        struct blob file = read_state();
        tamper(&file);
        write_state(&file);
        blob_free(&file);
        counts.built += build(path);
        write_state(&whole);
    }
    blob_free(&whole);
    return counts;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        die("usage: flip-bits SNAPSHOT FLIPS MENDED [SEED]");
    unsigned long flips = strtoul(argv[2], NULL, 0), count = strtoul(argv[3], NULL, 0);
    random_state = argc > 4 ? strtoull(argv[4], NULL, 0) : clock_monotonic_ns();
    (void)fprintf(stderr, "seed %" PRIu64 "\n", random_state);
    open_targets(argv[1]);
    if (!build(argv[1]))
        die("%s: cannot be restored as it is", argv[1]);
    uint64_t since_ns = clock_monotonic_ns();
    for (unsigned long i = 0; i < flips && in_time(since_ns); i++)
        flip(argv[1]);
    const struct counts counts = mended(argv[1], count);
    if (!build(argv[1]))
        die("%s: cannot be restored any more", argv[1]);
    for (size_t i = 0; i < TARGETS; i++)
        (void)printf("%s %u, ", targets[i].name, targets[i].flips);
    (void)printf("mended %u, of which %u could run\n", counts.tried, counts.built);
    return 0;
}

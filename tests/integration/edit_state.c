/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edit-state FILE COMMAND...: changes the file `state` of a snapshot and puts every checksum right
 * again, as somebody would who wants to deceive a restore. Commands, done from left to right:
 *
 *   header FIELD VALUE              major, minor, arch or page_size
 *   add TYPE FLAGS                  a section more, of four bytes
 *   remove SECTION INDEX            a section is called by its name: "vcpu"
 *   cut SECTION INDEX BYTES         to that length
 *   patch SECTION INDEX OFFSET HEX  other bytes; an offset below 0 counts from the end
 *   text OLD NEW                    in the section meta, the first OLD
 *   cpuid LEAF REGISTER BITS        sets the bits in EBX, ECX or EDX (1, 2, 3) of index 0, vCPU 0
 */
#include "snapshot/format.h"
#include "vmm/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

struct section {
    uint32_t type, index, flags;
    uint8_t *data;
    size_t size;
};

struct file {
    struct snapshot_header header;
    unsigned count;
    struct section sections[SNAPSHOT_SECTIONS_MAX];
};

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *what, ...)
{
    va_list args;
    va_start(args, what);
    (void)fputs("edit-state: ", stderr);
    (void)vfprintf(stderr, what, args);
    (void)fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static void *allocate(size_t size)
{
    void *memory = calloc(1, size > 0 ? size : 1);
    return memory ? memory : (die("out of memory"), NULL);
}

/* ---- the file ----------------------------------------------------------------------------- */

static void read_state(const char *path, struct file *file)
{
    struct thaw_error err = {0};
    cleanup_free char *directory = strdup(path);
    char *slash = directory ? strrchr(directory, '/') : NULL;
    if (!slash || strcmp(slash, "/" SNAPSHOT_STATE) != 0)
        die("%s: not SNAPSHOT/state", path);
    *slash = '\0';
    cleanup_close int dir_fd = snapshot_open_directory(directory, &err);
    cleanup_snapshot_state struct snapshot_state state = {0};
    if (dir_fd < 0 || snapshot_state_read(dir_fd, &state, &err) < 0)
        die("%s", err.message);
    file->header = state.header;
    file->count = state.header.section_count;
    for (unsigned i = 0; i < file->count; i++) {
        const struct snapshot_section *from = &state.table[i];
        struct section *to = &file->sections[i];
        *to = (struct section){from->type, from->index, from->flags, allocate(from->length),
                               from->length};
        memcpy(to->data, state.file.data + from->offset, from->length);
    }
}

/* The writer knows today's header only: the rest is put over what it makes. */
static void put_header(const struct file *file, struct blob *bytes)
{
    struct snapshot_header header;
    memcpy(&header, bytes->data, sizeof(header));
    header.major = file->header.major;
    header.minor = file->header.minor;
    header.arch = file->header.arch;
    header.page_size = file->header.page_size;
    header.checksum = 0;
    memcpy(bytes->data, &header, sizeof(header));
    header.checksum = XXH3_64bits(
        bytes->data, sizeof(header) + header.section_count * sizeof(struct snapshot_section));
    memcpy(bytes->data, &header, sizeof(header));
}

static void write_state(const char *path, const struct file *file)
{
    struct thaw_error err = {0};
    cleanup_blob struct blob bytes = {0};
    struct snapshot_writer *writer = allocate(sizeof(*writer));
    for (unsigned i = 0; i < file->count; i++) {
        const struct section *s = &file->sections[i];
        if (snapshot_writer_add(writer, s->type, s->index, s->data, s->size, &err) < 0)
            die("%s", err.message);
        writer->table[i].flags = s->flags;
    }
    if (snapshot_writer_finish(writer, &bytes, &err) < 0)
        die("%s", err.message);
    put_header(file, &bytes);
    FILE *out = fopen(path, "wb");
    if (!out || fwrite(bytes.data, 1, bytes.size, out) != bytes.size || fclose(out) != 0)
        die("%s: %s", path, strerror(errno));
    snapshot_writer_free(writer);
    free(writer);
}

/* ---- the commands ------------------------------------------------------------------------- */

static struct section *find(struct file *file, const char *name, const char *index)
{
    for (unsigned i = 0; i < file->count; i++)
        if (strcmp(snapshot_section_name(file->sections[i].type), name) == 0 &&
            file->sections[i].index == strtoul(index, NULL, 0))
            return &file->sections[i];
    die("no section %s %s", name, index);
}

static void set_header(struct file *file, char **words)
{
    unsigned long value = strtoul(words[1], NULL, 0);
    if (strcmp(words[0], "major") == 0)
        file->header.major = (uint16_t)value;
    else if (strcmp(words[0], "minor") == 0)
        file->header.minor = (uint16_t)value;
    else if (strcmp(words[0], "arch") == 0)
        file->header.arch = (uint32_t)value;
    else if (strcmp(words[0], "page_size") == 0)
        file->header.page_size = (uint32_t)value;
    else
        die("header: no field %s", words[0]);
}

static void add_section(struct file *file, char **words)
{
    if (file->count == SNAPSHOT_SECTIONS_MAX)
        die("add: too many sections");
    struct section *section = &file->sections[file->count++];
    *section = (struct section){.type = (uint32_t)strtoul(words[0], NULL, 0),
                                .flags = (uint32_t)strtoul(words[1], NULL, 0),
                                .data = allocate(4),
                                .size = 4};
    memcpy(section->data, "news", 4);
}

static void remove_section(struct file *file, char **words)
{
    struct section *section = find(file, words[0], words[1]);
    free(section->data);
    const struct section *last = &file->sections[--file->count];
    memmove(section, section + 1, (size_t)((const char *)last - (const char *)section));
}

static void cut_section(struct file *file, char **words)
{
    struct section *section = find(file, words[0], words[1]);
    size_t size = strtoul(words[2], NULL, 0);
    if (size > section->size)
        die("cut: the section has %zu bytes", section->size);
    section->size = size;
}

static void patch_section(struct file *file, char **words)
{
    struct section *section = find(file, words[0], words[1]);
    long offset = strtol(words[2], NULL, 0);
    size_t at = offset < 0 ? section->size + (size_t)offset : (size_t)offset;
    for (const char *hex = words[3]; hex[0] && hex[1]; hex += 2, at++) {
        const char digits[] = {hex[0], hex[1], '\0'};
        if (at >= section->size)
            die("patch: the section has %zu bytes", section->size);
        section->data[at] = (uint8_t)strtoul(digits, NULL, 16);
    }
}

static void replace_text(struct file *file, char **words)
{
    struct section *meta = find(file, "meta", "0");
    size_t old = strlen(words[0]), new = strlen(words[1]);
    uint8_t *at = memmem(meta->data, meta->size, words[0], old);
    if (!at)
        die("text: meta does not have %s", words[0]);
    size_t before = (size_t)(at - meta->data);
    uint8_t *data = allocate(meta->size - old + new);
    memcpy(data, meta->data, before);
    memcpy(data + before, words[1], new);
    memcpy(data + before + new, at + old, meta->size - before - old);
    free(meta->data);
    meta->data = data;
    meta->size += new - old;
}

/* struct kvm_cpuid2 is what the section cpuid holds. */
static void set_cpuid(struct file *file, char **words)
{
    char index[] = "0";
    struct section *section = find(file, "cpuid", index);
    uint32_t leaf = (uint32_t)strtoul(words[0], NULL, 0), value;
    size_t reg = strtoul(words[1], NULL, 0), step = sizeof(struct kvm_cpuid_entry2);
    for (size_t at = sizeof(struct kvm_cpuid2); at + step <= section->size; at += step) {
        struct kvm_cpuid_entry2 entry;
        memcpy(&entry, section->data + at, step);
        if (entry.function != leaf || entry.index != 0)
            continue;
        uint8_t *word = section->data + at + offsetof(struct kvm_cpuid_entry2, eax) + 4 * reg;
        memcpy(&value, word, sizeof(value));
        value |= (uint32_t)strtoul(words[2], NULL, 0);
        memcpy(word, &value, sizeof(value));
        return;
    }
    die("cpuid: no leaf 0x%x", leaf);
}

static const struct {
    const char *name;
    int words;
    void (*run)(struct file *file, char **words);
} commands[] = {
    {"header", 2, set_header}, {"add", 2, add_section},     {"remove", 2, remove_section},
    {"cut", 3, cut_section},   {"patch", 4, patch_section}, {"text", 2, replace_text},
    {"cpuid", 3, set_cpuid},
};

/* Returns how many words it has taken. */
static int run_command(struct file *file, int argc, char **argv)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[0], commands[i].name) != 0)
            continue;
        if (argc <= commands[i].words)
            die("%s: needs %d words", argv[0], commands[i].words);
        commands[i].run(file, argv + 1);
        return commands[i].words + 1;
    }
    die("%s: no such command", argv[0]);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        die("usage: edit-state SNAPSHOT/state COMMAND...");
    struct file *file = allocate(sizeof(*file));
    read_state(argv[1], file);
    for (int i = 2; i < argc;)
        i += run_command(file, argc - i, argv + i);
    write_state(argv[1], file);
    for (unsigned i = 0; i < file->count; i++)
        free(file->sections[i].data);
    free(file);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/inspect.h"

#include "snapshot/restore.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>

#define MIB(bytes) ((double)(bytes) / (1 << 20))

static const char *arch_name(uint32_t arch)
{
    return arch == SNAPSHOT_ARCH_X86_64    ? "x86_64"
           : arch == SNAPSHOT_ARCH_AARCH64 ? "aarch64"
                                           : "unknown";
}

/* ---- for programs ------------------------------------------------------------------------- */

static json_t *header_json(const struct snapshot_header *h)
{
    return json_pack("{s:i, s:i, s:s, s:I, s:I, s:I}", "major", (int)h->major, "minor",
                     (int)h->minor, "arch", arch_name(h->arch), "page_size",
                     (json_int_t)h->page_size, "sections", (json_int_t)h->section_count,
                     "file_size", (json_int_t)h->file_size);
}

static json_t *sections_json(const struct snapshot_state *state)
{
    json_t *sections = json_array();
    for (uint32_t i = 0; i < state->header.section_count; i++) {
        const struct snapshot_section *s = &state->table[i];
        json_array_append_new(
            sections,
            json_pack("{s:s, s:I, s:I, s:I, s:b}", "type", snapshot_section_name(s->type), "index",
                      (json_int_t)s->index, "offset", (json_int_t)s->offset, "length",
                      (json_int_t)s->length, "critical", (int)(s->flags & SNAPSHOT_CRITICAL)));
    }
    return sections;
}

static json_t *memory_json(const struct restore *r)
{
    struct stat st = {0};
    if (r->memory_fd >= 0)
        (void)fstat(r->memory_fd, &st);
    return json_pack("{s:I, s:I, s:I, s:b, s:I}", "pages", (json_int_t)r->map.pages, "data_pages",
                     (json_int_t)page_runs_pages(&r->map.data), "runs",
                     (json_int_t)r->map.data.count, "packed", r->packed, "disk_bytes",
                     (json_int_t)st.st_blocks * 512);
}

static json_t *working_set_json(const struct restore *r)
{
    const struct working_set *set = &r->working_set;
    if (!r->has_working_set)
        return json_null();
    return json_pack("{s:I, s:I, s:b}", "pages", (json_int_t)set->pages, "runs",
                     (json_int_t)set->runs.count, "approximate", set->approximate);
}

static json_t *describe(const struct restore *r)
{
    size_t size = 0;
    const char *meta = snapshot_section(&r->state, SNAPSHOT_META, 0, &size);
    json_t *object = json_object();
    json_object_set_new(object, "header", header_json(&r->state.header));
    json_object_set_new(object, "meta", json_loadb(meta, size, 0, NULL));
    json_object_set_new(object, "memory", memory_json(r));
    json_object_set_new(object, "working_set", working_set_json(r));
    json_object_set_new(object, "sections", sections_json(&r->state));
    return object;
}

static void print_json(json_t *object)
{
    json_dumpf(object, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(object);
}

/* ---- for people --------------------------------------------------------------------------- */

static void print_header(const struct snapshot_header *h)
{
    printf("format      %u.%u, %s, %u sections\n", h->major, h->minor, arch_name(h->arch),
           h->section_count);
}

static void print_story(const struct snapshot_meta *m)
{
    printf("taken       %s by thaw %s, generation %u\n", m->created, m->version, m->generation);
    printf("on          %s\n", m->host);
    printf("trigger     %s; the guest is at %s\n", snapshot_trigger_name(m->trigger),
           snapshot_point_name(m->point));
    printf(
        "times       boot %.1f ms, to the trigger %.1f ms, quiesce %.2f ms, capture %.2f ms (pause "
        "%.2f ms)\n",
        m->times.boot_ms, m->times.trigger_ms, m->times.quiesce_ms, m->times.capture_ms,
        m->times.pause_ms);
    if (m->kernel.path[0])
        printf("kernel      %s (%s)\n", m->kernel.path, m->kernel.xxh3);
    if (m->rootfs.path[0])
        printf("root        %s (%s)\n", m->rootfs.path, m->rootfs.xxh3);
}

static void print_disks(const struct snapshot_meta *m)
{
    static const char *const kinds[] = {[DISK_READ_ONLY] = "read-only",
                                        [DISK_OVERLAY] = "overlay over",
                                        [DISK_WRITABLE] = "copy of"};
    char name[DISK_NAME_MAX];
    for (unsigned i = 0; i < m->disk_count; i++)
        printf("disk        %s: %s %s, %.1f MiB\n", disk_record_name(&m->disks[i], i, name),
               kinds[m->disks[i].kind], m->disks[i].path, MIB(m->disks[i].size));
}

static void print_machine(const struct snapshot_meta *m)
{
    printf("machine     %.0f MiB, %u CPU%s%s%s%s%s\n", MIB(m->memory_size), m->vcpus,
           m->vcpus == 1 ? "" : "s", m->has_ports ? ", streams" : "", m->rng.present ? ", rng" : "",
           m->balloon.present ? ", balloon" : "", m->terminal ? ", terminal" : "");
    print_disks(m);
    for (unsigned i = 0; i < m->net_count; i++)
        printf("net         eth%u: %s\n", i, m->nets[i].tap[0] ? m->nets[i].tap : "a descriptor");
    if (m->vsock.present)
        printf("vsock       %s, CID %llu\n", m->vsock.path, (unsigned long long)m->vsock.cid);
}

static void print_memory(const struct restore *r)
{
    uint64_t data = page_runs_pages(&r->map.data) * GUEST_PAGE_SIZE;
    printf("memory      %.1f of %.0f MiB are not zeros, in %zu runs%s\n", MIB(data),
           MIB(r->map.pages * GUEST_PAGE_SIZE), r->map.data.count, r->packed ? "; packed" : "");
    if (r->has_working_set)
        printf("working set %.1f MiB in %zu runs%s\n", MIB(r->working_set.pages * GUEST_PAGE_SIZE),
               r->working_set.runs.count, r->working_set.approximate ? ", approximate" : "");
    else
        puts("working set not recorded (thaw snapshot record-workingset)");
}

static void print_text(const struct restore *r)
{
    print_header(&r->state.header);
    print_story(r->meta);
    print_machine(r->meta);
    print_memory(r);
}

/* What can still be said of a snapshot that cannot be used. */
static void print_header_alone(const char *path, bool json)
{
    struct snapshot_header header;
    struct thaw_error ignored;
    cleanup_close int dir_fd = snapshot_open_directory(path, &ignored);
    if (dir_fd < 0 || snapshot_header_read(dir_fd, &header, &ignored) < 0)
        return;
    if (json)
        print_json(json_pack("{s:o}", "header", header_json(&header)));
    else
        print_header(&header);
}

int inspect_print(const char *path, bool json, struct thaw_error *err)
{
    struct restore restore;
    const struct restore_config config = {.path = path, .stream_fd = STDIN_FILENO};
    int rc = restore_open(&restore, &config, err);
    if (rc < 0)
        print_header_alone(path, json);
    else if (json)
        print_json(describe(&restore));
    else
        print_text(&restore);
    restore_close(&restore);
    return rc;
}

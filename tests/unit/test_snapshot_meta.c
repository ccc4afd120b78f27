/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/meta.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct snapshot_meta *example(void)
{
    struct snapshot_meta *meta = calloc(1, sizeof(*meta));
    *meta = (struct snapshot_meta){
        .version = "1.2.3",
        .created = "2026-01-02T03:04:05Z",
        .host = "Linux",
        .trigger = SNAPSHOT_TRIGGER_LISTENER,
        .point = SNAPSHOT_POINT_QUIESCED,
        .times = {1.5, 2.5, 3.5, 4.5, 5.5},
        .generation = 3,
        .memory_size = 128ull << 20,
        .vcpus = 2,
        .init_version = "9",
        .has_mailbox = true,
        .terminal = true,
        .kernel = {.path = "/boot/vmlinux", .size = 7, .xxh3 = "00112233445566778899aabbccddeeff"},
        .net_count = 1,
        .nets = {{.tap = "tap0", .mac = {2, 0, 0, 0, 0, 1}, .mtu = 1400}},
        .ipv4 = {.address = {10, 1, 2, 3}, .prefix = 24, .gateway = {10, 1, 2, 1}},
        .vsock = {.present = true, .path = "/run/s", .cid = 7},
        .rng = {.present = true, .bytes_per_second = 5, .burst = 6},
        .balloon = {.present = true, .reporting = true, .target_pages = 99},
        .has_ports = true,
    };
    struct thaw_error err;
    const char *const args[] = {"/bin/sh", "-c"};
    cr_assert_eq(snapshot_meta_set_entrypoint(meta, args, 2, &err), 0);
    return meta;
}

static char *encoded(const struct snapshot_meta *meta)
{
    struct thaw_error err = {0};
    struct blob text = {0};
    cr_assert_eq(snapshot_meta_encode(meta, &text, &err), 0, "%s", err.message);
    cr_assert(blob_append(&text, "", 1, &err));
    return (char *)text.data;
}

static int decode(const char *text, struct snapshot_meta **meta, struct thaw_error *err)
{
    return snapshot_meta_decode(meta, text, strlen(text), err);
}

Test(snapshot_meta, what_was_written_is_read_again)
{
    struct snapshot_meta *before = example(), *after;
    struct thaw_error err = {0};
    char *text = encoded(before);
    cr_assert_eq(decode(text, &after, &err), 0, "%s", err.message);
    cr_assert_eq(after->trigger, before->trigger);
    cr_assert_eq(after->point, before->point);
    cr_assert_eq(after->generation, 3);
    cr_assert_eq(after->memory_size, before->memory_size);
    cr_assert_eq(after->vcpus, 2);
    cr_assert_str_eq(after->kernel.xxh3, before->kernel.xxh3);
    cr_assert_eq(memcmp(after->nets, before->nets, sizeof(after->nets)), 0);
    cr_assert_eq(memcmp(&after->vsock, &before->vsock, sizeof(after->vsock)), 0);
    cr_assert_eq(memcmp(&after->ipv4, &before->ipv4, sizeof(after->ipv4)), 0);
    cr_assert_eq(after->rng.burst, 6);
    cr_assert_eq(after->balloon.target_pages, 99);
    cr_assert_eq(after->entrypoint_count, 2);
    cr_assert_eq(memcmp(after->entrypoint, "/bin/sh\0-c", 11), 0);
    cr_assert_eq((int)after->times.capture_ms, 4);
    cr_assert_eq((int)after->times.pause_ms, 5);
    free(text);
    free(before);
    snapshot_meta_free(after);
}

Test(snapshot_meta, a_text_that_ends_early_is_refused)
{
    struct snapshot_meta *meta = example(), *read;
    char *text = encoded(meta);
    size_t whole = strlen(text) - 1; /* the newline at its end may be missing */
    for (size_t size = 0; size < whole; size++) {
        struct thaw_error err = {0};
        cr_assert_lt(snapshot_meta_decode(&read, text, size, &err), 0, "%zu bytes", size);
        cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT);
        cr_assert_null(read);
    }
    free(text);
    free(meta);
}

Test(snapshot_meta, a_snapshot_that_was_written_in_the_pause_is_read)
{
    struct snapshot_meta *meta = example(), *read;
    struct thaw_error err = {0};
    char *text = encoded(meta), *key = strstr(text, "\"pause\"");
    cr_assert(key);
    memcpy(key, "\"cause\"", strlen("\"cause\""));
    cr_assert_eq(decode(text, &read, &err), 0, "%s", err.message);
    cr_assert(read->times.pause_ms == 4.5 && read->times.capture_ms == 4.5);
    free(text);
    free(meta);
    snapshot_meta_free(read);
}

/* `from` is in the example's text; with `to` in its place it is refused, and `key` named. */
static void refused(const char *from, const char *to, const char *key)
{
    struct snapshot_meta *meta = example(), *read;
    char *text = encoded(meta), *changed = malloc(strlen(text) + strlen(to) + 1);
    char *at = strstr(text, from);
    cr_assert(at, "the example has no %s", from);
    sprintf(changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    struct thaw_error err = {0};
    cr_assert_lt(decode(changed, &read, &err), 0, "%s", to);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT);
    cr_assert(strstr(err.message, key), "%s: %s", to, err.message);
    free(changed);
    free(text);
    free(meta);
}

Test(snapshot_meta, what_no_machine_can_be_built_from_is_refused_by_its_key)
{
    refused("\"memory\": 134217728", "\"memory\": 134217729", "memory");
    refused("\"memory\": 134217728", "\"memory\": 0", "memory");
    refused("\"memory\": 134217728", "\"memory\": 9223372036854775807", "memory");
    refused("\"cpus\": 2", "\"cpus\": 0", "cpus");
    refused("\"cpus\": 2", "\"cpus\": 9", "cpus");
    refused("\"cpus\": 2", "\"cpus\": \"2\"", "cpus");
    refused("\"cpus\": 2", "\"cpus\": -1", "cpus");
    refused("\"prefix\": 24", "\"prefix\": 33", "prefix");
    refused("\"prefix\": 24", "\"prefix\": 0", "prefix");
    refused("\"address\": \"10.1.2.3\"", "\"address\": \"10.1.2\"", "address");
    refused("\"gateway\": \"10.1.2.1\"", "\"gateway\": 10", "gateway");
    refused("\"cid\": 7", "\"cid\": 2", "cid");
    refused("\"cid\": 7", "\"cid\": 4294967295", "cid");
    refused("\"mtu\": 1400", "\"mtu\": 67", "mtu");
    refused("\"mtu\": 1400", "\"mtu\": 65536", "mtu");
    refused("02:00:00:00:00:01", "02:00:00:00:00:1", "mac");
    refused("02:00:00:00:00:01", "02:00:00:00:00:0g", "mac");
    refused("\"target_pages\": 99", "\"target_pages\": 32769", "target_pages");
    refused("\"point\": \"quiesced\"", "\"point\": \"elsewhere\"", "point");
    refused("\"trigger\": \"listener\"", "\"trigger\": \"none\"", "trigger");
    refused("\"generation\": 3", "\"generation\": 0", "generation");
    refused("\"mailbox\": true", "\"mailbox\": false", "point");
    refused("\"terminal\": true", "\"terminal\": 1", "terminal");
    refused("\"disks\": []", "\"disks\": {}", "disks");
    refused("\"disks\": []", "\"disks\": [{}]", "");
    refused("\"disks\": []", "\"disks\": [{},{},{},{},{},{},{},{},{}]", "disks");
    refused("\"path\": \"/run/s\"", "\"path\": \"a\\u0000b\"", "");
    refused("\"thaw\": \"1.2.3\"", "\"thaw\": 1", "thaw");
    refused("\"capture\": 4.5", "\"capture\": \"soon\"", "times_ms");
    refused("\"pause\": 5.5", "\"pause\": \"soon\"", "times_ms");
    refused("\"capture\": 4.5", "\"recapture\": 4.5", "times_ms");
}

Test(snapshot_meta, a_name_that_is_too_long_is_refused)
{
    char name[128];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    refused("\"tap0\"", ({
                static char quoted[140];
                sprintf(quoted, "\"%s\"", name);
                quoted;
            }),
            "tap");
}

Test(snapshot_meta, an_entrypoint_that_is_too_long_is_refused)
{
    struct snapshot_meta *meta = example();
    char *argument = malloc(SNAPSHOT_ENTRYPOINT_MAX + 1);
    memset(argument, 'x', SNAPSHOT_ENTRYPOINT_MAX);
    argument[SNAPSHOT_ENTRYPOINT_MAX] = '\0';
    struct thaw_error err = {0};
    const char *const args[] = {argument};
    cr_assert_eq(snapshot_meta_set_entrypoint(meta, args, 1, &err), -E2BIG);
    cr_assert_eq(err.failure, THAW_FAIL_USAGE);
    free(argument);
    free(meta);
}

Test(snapshot_meta, a_file_is_told_by_its_hash_and_a_missing_one_left_out)
{
    struct snapshot_file file;
    snapshot_file_describe(&file, "/dev/null");
    cr_assert_eq(file.size, 0);
    cr_assert_str_eq(file.xxh3, "99aa06d3014798d86001c324468d497f", "XXH3-128 of nothing: %s",
                     file.xxh3);
    snapshot_file_describe(&file, "/nowhere/at/all");
    cr_assert_str_eq(file.path, "");
    snapshot_file_describe(&file, NULL);
    cr_assert_str_eq(file.path, "");
}

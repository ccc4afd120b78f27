/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/meta.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

#define HASH_CHUNK (1u << 20)

static const char *const points[] = {
    [SNAPSHOT_POINT_PRE_EXEC] = "pre-exec",
    [SNAPSHOT_POINT_QUIESCED] = "quiesced",
    [SNAPSHOT_POINT_RUNNING] = "running",
};

const char *snapshot_point_name(enum snapshot_point point)
{
    return points[point];
}

/* json_t references of a scope. */
static void json_cleanup(json_t **json)
{
    json_decref(*json);
}
#define cleanup_json cleanup(json_cleanup)

/* ---- files -------------------------------------------------------------------------------- */

static int hash_file(int fd, struct snapshot_file *file)
{
    XXH3_state_t *state = XXH3_createState();
    cleanup_free char *buffer = malloc(HASH_CHUNK);
    ssize_t n = state && buffer ? 1 : -1;
    if (n > 0)
        XXH3_128bits_reset(state);
    while (n > 0 && (n = read(fd, buffer, HASH_CHUNK)) > 0) {
        XXH3_128bits_update(state, buffer, (size_t)n);
        file->size += (uint64_t)n;
    }
    XXH128_hash_t hash = n == 0 ? XXH3_128bits_digest(state) : (XXH128_hash_t){0};
    snprintf(file->xxh3, sizeof(file->xxh3), "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    XXH3_freeState(state);
    return n == 0 ? 0 : -1;
}

void snapshot_file_describe(struct snapshot_file *file, const char *path)
{
    *file = (struct snapshot_file){0};
    if (!path || !path[0])
        return;
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || !realpath(path, file->path) || hash_file(fd, file) < 0)
        *file = (struct snapshot_file){0};
}

/* ---- the entrypoint ---------------------------------------------------------------------- */

static int add_argument(struct snapshot_meta *meta, size_t *used, const char *text)
{
    size_t size = text ? strlen(text) + 1 : 0;
    if (size == 0 || size > sizeof(meta->entrypoint) - *used)
        return -E2BIG;
    memcpy(meta->entrypoint + *used, text, size);
    *used += size;
    meta->entrypoint_count++;
    return 0;
}

int snapshot_meta_set_entrypoint(struct snapshot_meta *meta, const char *const *args, size_t count,
                                 struct thaw_error *err)
{
    size_t used = 0;
    meta->entrypoint_count = 0;
    for (size_t i = 0; i < count; i++)
        if (add_argument(meta, &used, args[i]) < 0)
            return thaw_fail_as(err, THAW_FAIL_USAGE, E2BIG,
                                "snapshot: the image's entrypoint is over %u bytes",
                                SNAPSHOT_ENTRYPOINT_MAX);
    return 0;
}

/* ---- writing ------------------------------------------------------------------------------ */

static json_t *mac_to_json(const uint8_t mac[6])
{
    return json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
                        mac[5]);
}

/* Puts `value` (taken over) under `key`. */
static int put(json_t *object, const char *key, json_t *value, struct thaw_error *err)
{
    if (json_object_set_new(object, key, value) < 0)
        return thaw_fail_as(err, THAW_FAIL_IO, EILSEQ,
                            "snapshot: %s: not text in UTF-8, or no memory", key);
    return 0;
}

static int put_disks(json_t *machine, const struct snapshot_meta *meta, struct thaw_error *err)
{
    json_t *disks = json_array();
    for (unsigned i = 0; i < meta->disk_count; i++) {
        json_t *disk = disk_record_to_json(&meta->disks[i], err);
        if (!disk) {
            json_decref(disks);
            return thaw_error_code(err);
        }
        json_array_append_new(disks, disk);
    }
    return put(machine, "disks", disks, err);
}

static int put_nets(json_t *machine, const struct snapshot_meta *meta, struct thaw_error *err)
{
    json_t *nets = json_array();
    for (unsigned i = 0; i < meta->net_count; i++) {
        const struct snapshot_net *net = &meta->nets[i];
        json_array_append_new(nets, json_pack("{s:s, s:o, s:i}", "tap", net->tap, "mac",
                                              mac_to_json(net->mac), "mtu", (int)net->mtu));
    }
    return put(machine, "nets", nets, err);
}

static json_t *address_to_json(const uint8_t a[4])
{
    return json_sprintf("%u.%u.%u.%u", a[0], a[1], a[2], a[3]);
}

static int put_ipv4(json_t *machine, const struct snapshot_ipv4 *ipv4, struct thaw_error *err)
{
    if (ipv4->prefix == 0)
        return 0;
    return put(machine, "ipv4",
               json_pack("{s:o, s:i, s:o}", "address", address_to_json(ipv4->address), "prefix",
                         (int)ipv4->prefix, "gateway", address_to_json(ipv4->gateway)),
               err);
}

static int put_devices(json_t *machine, const struct snapshot_meta *meta, struct thaw_error *err)
{
    int rc = put_disks(machine, meta, err);
    if (rc == 0)
        rc = put_nets(machine, meta, err);
    if (rc == 0)
        rc = put_ipv4(machine, &meta->ipv4, err);
    if (rc == 0 && meta->vsock.present)
        rc = put(
            machine, "vsock",
            json_pack("{s:s, s:I}", "path", meta->vsock.path, "cid", (json_int_t)meta->vsock.cid),
            err);
    if (rc == 0 && meta->rng.present)
        rc = put(machine, "rng",
                 json_pack("{s:I, s:I}", "bytes_per_second", (json_int_t)meta->rng.bytes_per_second,
                           "burst", (json_int_t)meta->rng.burst),
                 err);
    if (rc == 0 && meta->balloon.present)
        rc = put(machine, "balloon",
                 json_pack("{s:b, s:I}", "reporting", meta->balloon.reporting, "target_pages",
                           (json_int_t)meta->balloon.target_pages),
                 err);
    return rc == 0 ? put(machine, "ports", json_boolean(meta->has_ports), err) : rc;
}

static int put_entrypoint(json_t *machine, const struct snapshot_meta *meta, struct thaw_error *err)
{
    json_t *list = json_array();
    const char *at = meta->entrypoint;
    for (unsigned i = 0; i < meta->entrypoint_count; i++, at += strlen(at) + 1)
        if (json_array_append_new(list, json_string(at)) < 0) {
            json_decref(list);
            return thaw_fail_as(err, THAW_FAIL_USAGE, EILSEQ,
                                "snapshot: the image's entrypoint is not text in UTF-8");
        }
    return put(machine, "entrypoint", list, err);
}

static int put_machine(json_t *root, const struct snapshot_meta *meta, struct thaw_error *err)
{
    json_t *machine =
        json_pack("{s:I, s:i, s:s, s:b, s:b}", "memory", (json_int_t)meta->memory_size, "cpus",
                  (int)meta->vcpus, "init", meta->init_version, "mailbox", meta->has_mailbox,
                  "terminal", meta->terminal);
    int rc = put(root, "machine", machine, err);
    if (rc == 0)
        rc = put_entrypoint(machine, meta, err);
    return rc < 0 ? rc : put_devices(machine, meta, err);
}

static int put_file(json_t *root, const char *key, const struct snapshot_file *file,
                    struct thaw_error *err)
{
    if (!file->path[0])
        return 0;
    return put(root, key,
               json_pack("{s:s, s:I, s:s}", "path", file->path, "size", (json_int_t)file->size,
                         "xxh3", file->xxh3),
               err);
}

static int put_story(json_t *root, const struct snapshot_meta *meta, struct thaw_error *err)
{
    const struct snapshot_times *t = &meta->times;
    json_t *omitted = json_array();
    for (unsigned i = 0; i < meta->omitted_count; i++)
        json_array_append_new(omitted, json_sprintf("0x%x", meta->omitted[i]));
    int rc = put(root, "omitted_msrs", omitted, err);
    if (rc < 0)
        return rc;
    return put(root, "times_ms",
               json_pack("{s:f, s:f, s:f, s:f, s:f}", "boot", t->boot_ms, "trigger", t->trigger_ms,
                         "quiesce", t->quiesce_ms, "capture", t->capture_ms, "pause", t->pause_ms),
               err);
}

static int append_text(json_t *root, struct blob *text, struct thaw_error *err)
{
    char *dumped = json_dumps(root, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    if (!dumped)
        return thaw_fail(err, ENOMEM, "snapshot: meta");
    int rc = blob_append(text, dumped, strlen(dumped), err) && blob_append(text, "\n", 1, err)
                 ? 0
                 : thaw_error_code(err);
    free(dumped);
    return rc;
}

int snapshot_meta_encode(const struct snapshot_meta *meta, struct blob *text,
                         struct thaw_error *err)
{
    cleanup_json json_t *root =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:i}", "thaw", meta->version, "created", meta->created,
                  "host", meta->host, "trigger", snapshot_trigger_name(meta->trigger), "point",
                  points[meta->point], "generation", (int)meta->generation);
    if (!root)
        return thaw_fail(err, ENOMEM, "snapshot: meta");
    int rc = put_machine(root, meta, err);
    if (rc == 0)
        rc = put_file(root, "kernel", &meta->kernel, err);
    if (rc == 0)
        rc = put_file(root, "rootfs", &meta->rootfs, err);
    if (rc == 0)
        rc = put_story(root, meta, err);
    return rc < 0 ? rc : append_text(root, text, err);
}

/* ---- reading ------------------------------------------------------------------------------ */

static int bad(struct thaw_error *err, const char *key)
{
    return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL, "snapshot: section meta: %s: not usable",
                        key);
}

/* The readers below take a key that may be missing, of another type or out of range. */
static int get_number(const json_t *object, const char *key, uint64_t min, uint64_t max,
                      uint64_t *number, struct thaw_error *err)
{
    const json_t *value = json_object_get(object, key);
    json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < 0 || (uint64_t)n < min || (uint64_t)n > max)
        return bad(err, key);
    *number = (uint64_t)n;
    return 0;
}

static int get_text(const json_t *object, const char *key, char *to, size_t size,
                    struct thaw_error *err)
{
    const json_t *value = json_object_get(object, key);
    size_t length = json_string_length(value);
    const char *text = json_string_value(value);
    if (!text || length >= size || strlen(text) != length)
        return bad(err, key);
    memcpy(to, text, length + 1);
    return 0;
}

static int get_bool(const json_t *object, const char *key, bool *to, struct thaw_error *err)
{
    const json_t *value = json_object_get(object, key);
    *to = json_is_true(value);
    return json_is_boolean(value) ? 0 : bad(err, key);
}

static int get_mac(const json_t *object, uint8_t mac[6], struct thaw_error *err)
{
    char text[18] = "";
    int end = 0, rc = get_text(object, "mac", text, sizeof(text), err);
    if (rc < 0)
        return rc;
    int n = sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2],
                   &mac[3], &mac[4], &mac[5], &end);
    return n == 6 && end == 17 && text[17] == '\0' ? 0 : bad(err, "mac");
}

static int get_disks(struct snapshot_meta *meta, const json_t *machine, struct thaw_error *err)
{
    const json_t *disks = json_object_get(machine, "disks");
    size_t count = json_array_size(disks);
    if (!json_is_array(disks) || count > MACHINE_DISKS_MAX)
        return bad(err, "disks");
    int rc = 0;
    for (meta->disk_count = 0; meta->disk_count < count && rc == 0; meta->disk_count++)
        rc = disk_record_from_json(&meta->disks[meta->disk_count],
                                   json_array_get(disks, meta->disk_count), err);
    return rc;
}

static int get_net(struct snapshot_net *net, const json_t *json, struct thaw_error *err)
{
    uint64_t mtu = 0;
    int rc = get_text(json, "tap", net->tap, sizeof(net->tap), err);
    if (rc == 0)
        rc = get_mac(json, net->mac, err);
    if (rc == 0)
        rc = get_number(json, "mtu", 68, 65535, &mtu, err);
    if (rc == 0)
        net->mtu = (uint16_t)mtu;
    return rc;
}

static int get_nets(struct snapshot_meta *meta, const json_t *machine, struct thaw_error *err)
{
    const json_t *nets = json_object_get(machine, "nets");
    size_t count = json_array_size(nets);
    if (!json_is_array(nets) || count > MACHINE_NETS_MAX)
        return bad(err, "nets");
    int rc = 0;
    for (meta->net_count = 0; meta->net_count < count && rc == 0; meta->net_count++)
        rc = get_net(&meta->nets[meta->net_count], json_array_get(nets, meta->net_count), err);
    return rc;
}

static int get_address(const json_t *object, const char *key, uint8_t address[4],
                       struct thaw_error *err)
{
    char text[INET_ADDRSTRLEN];
    int rc = get_text(object, key, text, sizeof(text), err);
    return rc < 0 || inet_pton(AF_INET, text, address) == 1 ? rc : bad(err, key);
}

static int get_ipv4(struct snapshot_ipv4 *ipv4, const json_t *machine, struct thaw_error *err)
{
    const json_t *json = json_object_get(machine, "ipv4");
    uint64_t prefix = 0;
    if (!json)
        return 0;
    int rc = get_address(json, "address", ipv4->address, err);
    if (rc == 0)
        rc = get_address(json, "gateway", ipv4->gateway, err);
    if (rc == 0)
        rc = get_number(json, "prefix", 1, 32, &prefix, err);
    ipv4->prefix = (uint8_t)prefix;
    return rc;
}

static int get_vsock(struct snapshot_meta *meta, const json_t *machine, struct thaw_error *err)
{
    const json_t *vsock = json_object_get(machine, "vsock");
    if (!vsock)
        return 0;
    meta->vsock.present = true;
    int rc = get_text(vsock, "path", meta->vsock.path, sizeof(meta->vsock.path), err);
    return rc < 0 ? rc
                  : get_number(vsock, "cid", VSOCK_GUEST_CID_MIN, VSOCK_GUEST_CID_MAX,
                               &meta->vsock.cid, err);
}

static int get_rng(struct snapshot_meta *meta, const json_t *machine, struct thaw_error *err)
{
    const json_t *rng = json_object_get(machine, "rng");
    if (!rng)
        return 0;
    meta->rng.present = true;
    int rc = get_number(rng, "bytes_per_second", 0, INT64_MAX, &meta->rng.bytes_per_second, err);
    return rc < 0 ? rc : get_number(rng, "burst", 0, INT64_MAX, &meta->rng.burst, err);
}

static int get_balloon(struct snapshot_meta *meta, const json_t *machine, struct thaw_error *err)
{
    const json_t *balloon = json_object_get(machine, "balloon");
    uint64_t pages = 0;
    if (!balloon)
        return 0;
    meta->balloon.present = true;
    int rc = get_bool(balloon, "reporting", &meta->balloon.reporting, err);
    if (rc == 0)
        rc = get_number(balloon, "target_pages", 0, meta->memory_size / GUEST_PAGE_SIZE, &pages,
                        err);
    if (rc == 0)
        meta->balloon.target_pages = (uint32_t)pages;
    return rc;
}

static int get_devices(struct snapshot_meta *meta, const json_t *machine, struct thaw_error *err)
{
    int rc = get_disks(meta, machine, err);
    if (rc == 0)
        rc = get_nets(meta, machine, err);
    if (rc == 0)
        rc = get_ipv4(&meta->ipv4, machine, err);
    if (rc == 0)
        rc = get_vsock(meta, machine, err);
    if (rc == 0)
        rc = get_rng(meta, machine, err);
    if (rc == 0)
        rc = get_balloon(meta, machine, err);
    return rc == 0 ? get_bool(machine, "ports", &meta->has_ports, err) : rc;
}

static int get_entrypoint(struct snapshot_meta *meta, const json_t *machine, struct thaw_error *err)
{
    const json_t *list = json_object_get(machine, "entrypoint");
    size_t used = 0;
    if (!json_is_array(list))
        return bad(err, "entrypoint");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (add_argument(meta, &used, json_string_value(json_array_get(list, i))) < 0)
            return bad(err, "entrypoint");
    return 0;
}

static int get_machine(struct snapshot_meta *meta, const json_t *root, struct thaw_error *err)
{
    const json_t *machine = json_object_get(root, "machine");
    uint64_t vcpus = 0;
    int rc =
        get_number(machine, "memory", ARCH_MEMORY_MIN, ARCH_MEMORY_MAX, &meta->memory_size, err);
    if (rc == 0 && meta->memory_size % GUEST_PAGE_SIZE != 0)
        return bad(err, "memory");
    if (rc == 0)
        rc = get_number(machine, "cpus", 1, ARCH_VCPUS_MAX, &vcpus, err);
    meta->vcpus = (unsigned)vcpus;
    if (rc == 0)
        rc = get_text(machine, "init", meta->init_version, sizeof(meta->init_version), err);
    if (rc == 0)
        rc = get_bool(machine, "mailbox", &meta->has_mailbox, err);
    if (rc == 0)
        rc = get_bool(machine, "terminal", &meta->terminal, err);
    if (rc == 0)
        rc = get_entrypoint(meta, machine, err);
    return rc == 0 ? get_devices(meta, machine, err) : rc;
}

static int get_times(struct snapshot_times *times, const json_t *root, struct thaw_error *err)
{
    const json_t *json = json_object_get(root, "times_ms");
    const struct {
        const char *key;
        double *value;
        bool optional; /* older snapshots do not have it: they were written in the pause */
    } all[] = {{"boot", &times->boot_ms, false},
               {"trigger", &times->trigger_ms, false},
               {"quiesce", &times->quiesce_ms, false},
               {"capture", &times->capture_ms, false},
               {"pause", &times->pause_ms, true}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const json_t *value = json_object_get(json, all[i].key);
        if (!value && all[i].optional)
            value = json_object_get(json, "capture");
        if (!json_is_number(value))
            return bad(err, "times_ms");
        *all[i].value = json_number_value(value);
    }
    return 0;
}

/* For people, and for a snapshot of the restored guest. */
static int get_story(struct snapshot_meta *meta, const json_t *root, struct thaw_error *err)
{
    char name[32];
    uint64_t generation = 0;
    int rc = get_text(root, "thaw", meta->version, sizeof(meta->version), err);
    if (rc == 0)
        rc = get_text(root, "created", meta->created, sizeof(meta->created), err);
    if (rc == 0)
        rc = get_text(root, "host", meta->host, sizeof(meta->host), err);
    if (rc == 0)
        rc = get_number(root, "generation", 1, INT32_MAX, &generation, err);
    meta->generation = (unsigned)generation;
    if (rc == 0)
        rc = get_times(&meta->times, root, err);
    if (rc == 0)
        rc = get_text(root, "trigger", name, sizeof(name), err);
    for (meta->trigger = SNAPSHOT_TRIGGER_WALL_CLOCK; rc == 0 && meta->trigger > 0; meta->trigger--)
        if (strcmp(name, snapshot_trigger_name(meta->trigger)) == 0)
            return 0;
    return rc < 0 ? rc : bad(err, "trigger");
}

static int get_file(struct snapshot_file *file, const json_t *root, const char *key,
                    struct thaw_error *err)
{
    const json_t *json = json_object_get(root, key);
    if (!json)
        return 0;
    int rc = get_text(json, "path", file->path, sizeof(file->path), err);
    if (rc == 0)
        rc = get_number(json, "size", 0, INT64_MAX, &file->size, err);
    return rc == 0 ? get_text(json, "xxh3", file->xxh3, sizeof(file->xxh3), err) : rc;
}

static int get_point(struct snapshot_meta *meta, const json_t *root, struct thaw_error *err)
{
    char name[32];
    int rc = get_text(root, "point", name, sizeof(name), err);
    for (unsigned i = 0; rc == 0 && i < sizeof(points) / sizeof(points[0]); i++) {
        if (strcmp(name, points[i]) != 0)
            continue;
        meta->point = (enum snapshot_point)i;
        return 0;
    }
    return rc < 0 ? rc : bad(err, "point");
}

static int decode(struct snapshot_meta *meta, const void *text, size_t size, struct thaw_error *err)
{
    json_error_t why;
    cleanup_json json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL, "snapshot: section meta: line %d: %s",
                            why.line, why.text);
    int rc = get_story(meta, root, err);
    if (rc == 0)
        rc = get_point(meta, root, err);
    if (rc == 0)
        rc = get_file(&meta->kernel, root, "kernel", err);
    if (rc == 0)
        rc = get_file(&meta->rootfs, root, "rootfs", err);
    if (rc == 0)
        rc = get_machine(meta, root, err);
    if (rc == 0 && meta->point != SNAPSHOT_POINT_RUNNING && !meta->has_mailbox)
        return bad(err, "point");
    return rc;
}

/* Pages of its own, which nobody has touched: most of it is room for paths, and of many clones each
 * has one. */
int snapshot_meta_decode(struct snapshot_meta **out, const void *text, size_t size,
                         struct thaw_error *err)
{
    *out = NULL;
    struct snapshot_meta *meta =
        mmap(NULL, sizeof(*meta), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (meta == MAP_FAILED)
        return thaw_fail(err, errno, "snapshot: section meta");
    int rc = decode(meta, text, size, err);
    if (rc == 0)
        *out = meta;
    else
        snapshot_meta_free(meta);
    return rc;
}

void snapshot_meta_free(struct snapshot_meta *meta)
{
    if (meta)
        munmap(meta, sizeof(*meta));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/capture.h"

#include "snapshot/device_state.h"
#include "snapshot/format.h"
#include "snapshot/memory_file.h"
#include "snapshot/quiesce.h"
#include "snapshot/rehearsal.h"
#include "snapshot/stream.h"
#include "vmm/base/clock.h"
#include "vmm/base/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

#define NS_PER_MS    1000000ull
#define HEARTBEAT_MS 100u /* how often a guest is asked to send one */

/* What is written, in the order in which it comes about. */
struct snapshot_parts {
    bool copied; /* memory, beside the guest: `map` is of then */
    struct snapshot_writer sections;
    struct memory_map map;
    struct page_runs written; /* in the rehearsal */
    struct snapshot_meta meta;
    struct blob state, index; /* index: of a stream */
};

struct copying {
    struct capture *capture;
    struct machine *machine;
    struct snapshot_parts *parts;
};

static bool is_stream(const struct capture *c)
{
    return snapshot_is_stream(c->config.want.out_path);
}

/* ---- before ------------------------------------------------------------------------------- */

/* A stream needs a directory only for the contents of disks. */
static int begin_stream(struct capture *c, struct thaw_error *err)
{
    if (isatty(c->config.stream_fd))
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "--snapshot-out -: a snapshot is no text for a terminal: use a pipe");
    if (c->config.devices->disk_count == 0)
        return 0;
    return publish_begin_scratch(&c->publish, err);
}

int capture_begin(struct capture *c, const struct capture_config *config, struct thaw_error *err)
{
    *c = (struct capture){.config = *config, .publish = PUBLISH_NONE};
    return is_stream(c) ? begin_stream(c, err)
                        : publish_begin(&c->publish, config->want.out_path, err);
}

void capture_end(struct capture *c)
{
    publish_end(&c->publish);
}

void capture_prepare_mailbox(const struct snapshot_resources *want, struct mailbox_content *mailbox)
{
    mailbox->hold = want->on_pre_exec;
    mailbox->listeners = want->on_listener;
    mailbox->heartbeat_ms = want->has_at_heartbeat ? HEARTBEAT_MS : 0;
}

/* ---- when --------------------------------------------------------------------------------- */

enum snapshot_trigger capture_due(const struct capture *c, const struct machine *machine,
                                  const struct guest_observation *seen)
{
    uint64_t running_ns = clock_monotonic_ns() - machine->vm->first_run_ns;
    return c->report.taken
               ? SNAPSHOT_TRIGGER_NONE
               : snapshot_trigger_evaluate(&c->config.want, seen, running_ns / NS_PER_MS);
}

uint64_t capture_wakeup_ns(const struct capture *c, const struct machine *machine)
{
    return c->config.want.has_after_ms && !c->report.taken
               ? machine->vm->first_run_ns + c->config.want.after_ms * NS_PER_MS
               : 0;
}

/* ---- the machine, as it can be built again ------------------------------------------------ */

static int describe_net(struct snapshot_net *net, const struct net_config *config,
                        const struct virtio_slot *slot, struct thaw_error *err)
{
    struct net_state state;
    slot->mmio.device->ops->save(slot->mmio.device, &state);
    memcpy(net->mac, state.mac, sizeof(net->mac));
    net->mtu = state.mtu;
    int n = snprintf(net->tap, sizeof(net->tap), "%s", config->tap ? config->tap : "");
    return n >= 0 && (size_t)n < sizeof(net->tap)
               ? 0
               : thaw_fail_as(err, THAW_FAIL_USAGE, ENAMETOOLONG, "--net: name too long");
}

static int capture_disks(struct capture *c, struct machine *m, struct snapshot_meta *meta,
                         struct thaw_error *err)
{
    const struct machine_devices *d = c->config.devices;
    int rc = 0;
    for (unsigned i = 0; i < d->disk_count && rc == 0; i++)
        rc = disk_capture(m->slots[i].mmio.device, &d->disks[i], c->publish.fd, i, &meta->disks[i],
                          err);
    meta->disk_count = d->disk_count;
    return rc;
}

static int describe_nets(const struct capture *c, struct machine *m, struct snapshot_meta *meta,
                         struct thaw_error *err)
{
    const struct machine_devices *d = c->config.devices;
    int rc = 0;
    for (unsigned i = 0; i < d->net_count && rc == 0; i++)
        rc = describe_net(&meta->nets[i], &d->nets[i], &m->slots[d->disk_count + i], err);
    meta->net_count = d->net_count;
    return rc;
}

static int describe_vsock(const struct vsock_config *config, struct snapshot_meta *meta,
                          struct thaw_error *err)
{
    char path[PATH_MAX];
    if (!config->path)
        return 0;
    /* The directory's name is made absolute: the socket itself may go. */
    if (!realpath(config->path, path))
        snprintf(path, sizeof(path), "%s", config->path);
    int n = snprintf(meta->vsock.path, sizeof(meta->vsock.path), "%s", path);
    if (n < 0 || (size_t)n >= sizeof(meta->vsock.path))
        return thaw_fail_as(err, THAW_FAIL_USAGE, ENAMETOOLONG, "--vsock: path too long");
    meta->vsock.present = true;
    meta->vsock.cid = config->guest_cid;
    return 0;
}

static void describe_ipv4(const struct mailbox_content *mailbox, struct snapshot_ipv4 *ipv4)
{
    if (!mailbox)
        return;
    ipv4->prefix = mailbox->ipv4_prefix;
    memcpy(ipv4->address, mailbox->ipv4, sizeof(ipv4->address));
    memcpy(ipv4->gateway, mailbox->ipv4_gateway, sizeof(ipv4->gateway));
}

static void describe_rest(const struct machine_devices *d, struct snapshot_meta *meta)
{
    meta->has_ports = d->has_ports;
    meta->rng.present = d->has_rng;
    meta->rng.bytes_per_second = d->rng.bytes_per_second;
    meta->rng.burst = d->rng.burst;
    meta->balloon.present = d->has_balloon;
    meta->balloon.reporting = d->balloon.reporting;
    meta->balloon.target_pages = d->balloon.target_pages;
}

static void describe_host(char *text, size_t size)
{
    static const char *const kinds[] = {
        [KVM_HOST_NONE] = "no KVM", [KVM_HOST_HARDWARE] = "hardware KVM", [KVM_HOST_PVM] = "PVM"};
    struct utsname name;
    uname(&name);
    snprintf(text, size, "Linux %.64s %.16s, %s", name.release, name.machine,
             kinds[kvm_host_kind()]);
}

static void describe_origin(const struct capture *c, const struct machine *m,
                            const struct guest_observation *seen, struct snapshot_meta *meta)
{
    const struct snapshot_meta *parent = c->config.parent;
    /* The one before may come from a hostile file. */
    unsigned before = parent ? parent->generation : 0;
    meta->generation = before < INT32_MAX ? before + 1 : before;
    meta->memory_size = guest_memory_size(&m->vm->memory);
    meta->vcpus = m->vm->vcpu_count;
    meta->has_mailbox = m->has_mailbox;
    meta->terminal = c->config.terminal;
    meta->trigger = c->report.trigger;
    meta->point = c->report.point;
    meta->times = c->report.times;
    snprintf(meta->version, sizeof(meta->version), "%s", THAW_VERSION);
    if (seen->hello)
        snprintf(meta->init_version, sizeof(meta->init_version), "%s", seen->version);

    time_t now = time(NULL);
    struct tm utc;
    strftime(meta->created, sizeof(meta->created), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    describe_host(meta->host, sizeof(meta->host));
    if (parent) {
        meta->entrypoint_count = parent->entrypoint_count;
        memcpy(meta->entrypoint, parent->entrypoint, sizeof(meta->entrypoint));
        meta->kernel = parent->kernel;
        meta->rootfs = parent->rootfs;
    } else {
        snapshot_file_describe(&meta->kernel, c->config.kernel);
        snapshot_file_describe(&meta->rootfs, c->config.rootfs);
    }
}

/* ---- while the guest stands still --------------------------------------------------------- */

static int add_arch_sections(const struct arch_state *state, struct snapshot_writer *writer,
                             struct thaw_error *err)
{
    int rc = snapshot_writer_add(writer, SNAPSHOT_VM, 0, state->vm.data, state->vm.size, err);
    for (unsigned i = 0; i < state->vcpu_count && rc == 0; i++) {
        rc = snapshot_writer_add(writer, SNAPSHOT_CPUID, i, state->cpuid[i].data,
                                 state->cpuid[i].size, err);
        if (rc == 0)
            rc = snapshot_writer_add(writer, SNAPSHOT_VCPU, i, state->vcpu[i].data,
                                     state->vcpu[i].size, err);
    }
    return rc;
}

static int save_vcpus(const struct vm *vm, struct snapshot_parts *parts, struct thaw_error *err)
{
    cleanup_arch_state struct arch_state state = {0};
    int rc = vm_state_save(vm, &state, err);
    if (rc < 0)
        return rc;
    parts->meta.omitted_count = state.omitted_count;
    memcpy(parts->meta.omitted, state.omitted, sizeof(state.omitted));
    return add_arch_sections(&state, &parts->sections, err);
}

/* Something went on in the guest: all of it again. */
static int forget_copy(struct capture *c, const struct vm *vm, struct snapshot_parts *parts,
                       struct thaw_error *err)
{
    if (parts->map.pages == 0)
        return 0;
    memory_map_free(&parts->map);
    if (unlinkat(c->publish.fd, SNAPSHOT_MEMORY, 0) < 0)
        return thaw_fail_io(err, errno, SNAPSHOT_MEMORY);
    return guest_memory_log_writes(&vm->memory, vm->fd, false, err);
}

/* Begun when the guest is at rest. What it does while its memory is written, KVM takes note of; the
 * monitor itself changes nothing but the entropy, which is gone beforehand. */
static int copy_memory(void *ctx, struct thaw_error *err)
{
    const struct copying *copying = ctx;
    struct vm *vm = copying->machine->vm;
    int rc = forget_copy(copying->capture, vm, copying->parts, err);
    if (rc == 0 && copying->machine->has_mailbox)
        rc = mailbox_clear_entropy(&vm->memory, err);
    if (rc == 0)
        rc = guest_memory_log_writes(&vm->memory, vm->fd, true, err);
    if (rc == 0)
        rc = vm_resume(vm, err);
    return rc == 0 ? memory_file_write(copying->capture->publish.fd, &vm->memory,
                                       copying->capture->config.backed, &copying->parts->map, err)
                   : rc;
}

static int save_memory(struct capture *c, struct machine *m, struct snapshot_parts *parts,
                       struct thaw_error *err)
{
    const struct guest_memory *memory = &m->vm->memory;
    cleanup_page_runs struct page_runs written = {0};
    if (is_stream(c)) {
        int rc = memory_scan(memory, c->config.backed, &parts->map, err);
        return rc == 0 ? memory_index_guest(&parts->index, memory, &parts->map, err) : rc;
    }
    if (!parts->copied)
        return memory_file_write(c->publish.fd, memory, c->config.backed, &parts->map, err);
    int rc = written_by_guest(m->vm, &written, err);
    return rc == 0 ? memory_file_rewrite(c->publish.fd, memory, &written, &parts->map, err) : rc;
}

/* Memory comes last: saving the vCPUs may change it. */
static int save_machine(struct capture *c, struct machine *m, struct snapshot_parts *parts,
                        struct thaw_error *err)
{
    int rc = m->has_mailbox ? mailbox_clear_entropy(&m->vm->memory, err) : 0;
    if (rc == 0)
        rc = save_vcpus(m->vm, parts, err);
    if (rc == 0)
        rc = device_state_save(m, &parts->sections, err);
    if (rc == 0)
        rc = capture_disks(c, m, &parts->meta, err);
    return rc == 0 ? save_memory(c, m, parts, err) : rc;
}

/* ---- afterwards --------------------------------------------------------------------------- */

static int add_written(struct snapshot_parts *parts, struct thaw_error *err)
{
    cleanup_blob struct blob written = {0};
    if (parts->written.count == 0)
        return 0;
    int rc = written_encode(&parts->written, &written, err);
    return rc == 0 ? snapshot_writer_add_hint(&parts->sections, SNAPSHOT_WRITTEN, 0, written.data,
                                              written.size, err)
                   : rc;
}

static int finish_state(struct capture *c, struct machine *m, const struct guest_observation *seen,
                        struct snapshot_parts *parts, struct thaw_error *err)
{
    cleanup_blob struct blob map = {0}, meta = {0};
    describe_origin(c, m, seen, &parts->meta);
    describe_rest(c->config.devices, &parts->meta);
    describe_ipv4(c->config.mailbox, &parts->meta.ipv4);
    int rc = c->config.parent ? 0
                              : snapshot_meta_set_entrypoint(&parts->meta, c->config.entrypoint,
                                                             c->config.entrypoint_count, err);
    if (rc == 0)
        rc = describe_nets(c, m, &parts->meta, err);
    if (rc == 0)
        rc = describe_vsock(&c->config.devices->vsock, &parts->meta, err);
    if (rc == 0)
        rc = snapshot_meta_encode(&parts->meta, &meta, err);
    if (rc == 0)
        rc = snapshot_writer_add(&parts->sections, SNAPSHOT_META, 0, meta.data, meta.size, err);
    if (rc == 0)
        rc = memory_map_encode(&parts->map, &map, err);
    if (rc == 0)
        rc = snapshot_writer_add(&parts->sections, SNAPSHOT_MEMORY_MAP, 0, map.data, map.size, err);
    if (rc == 0)
        rc = add_written(parts, err);
    return rc == 0 ? snapshot_writer_finish(&parts->sections, &parts->state, err) : rc;
}

static int write_state(struct capture *c, const struct blob *state, struct thaw_error *err)
{
    int rc = publish_blob(&c->publish, SNAPSHOT_STATE, state, err);
    return rc < 0 ? rc : publish_commit(&c->publish, c->config.sync, err);
}

static int write_stream(struct capture *c, struct machine *m, const struct snapshot_parts *parts,
                        struct thaw_error *err)
{
    const struct stream_content content = {
        .state = &parts->state,
        .index = &parts->index,
        .map = &parts->map,
        .memory = &m->vm->memory,
        .memory_fd = -1,
        .disks_fd = c->publish.fd,
    };
    return stream_write(c->config.stream_fd, &content, &(struct pack_options){0}, err);
}

/* ---- a clone's first steps ---------------------------------------------------------------- */

static int rehearse(struct capture *c, struct machine *m, struct guest_observation *seen,
                    struct thaw_error *err)
{
    struct mailbox_content mailbox = *c->config.mailbox;
    capture_prepare_mailbox(&c->config.want, &mailbox);
    const struct rehearsal_config config = {
        .mailbox = &mailbox, .interrupted = c->config.interrupted, .ctx = c->config.ctx};
    return rehearse_waking(m, &config, seen, err);
}

/* The memory of a stream is not saved yet. A disk that is written to is the user's. */
static bool may_go_on(const struct capture *c)
{
    const struct machine_devices *d = c->config.devices;
    bool may = c->report.point == SNAPSHOT_POINT_PRE_EXEC && !is_stream(c);
    for (unsigned i = 0; i < d->disk_count; i++)
        may = may && (d->disks[i].read_only || d->disks[i].overlay);
    return may;
}

static int note_written(struct capture *c, struct machine *m, struct snapshot_parts *parts,
                        struct thaw_error *err)
{
    const struct rehearsal_config config = {
        .mailbox = c->config.mailbox, .interrupted = c->config.interrupted, .ctx = c->config.ctx};
    return may_go_on(c) ? rehearse_exec(m, &config, &parts->written, err) : 0;
}

/* ---- the whole ---------------------------------------------------------------------------- */

static int check_trigger(const struct capture *c, enum snapshot_trigger trigger,
                         struct thaw_error *err)
{
    if (c->config.anyway || !snapshot_trigger_is_late(&c->config.want, trigger))
        return 0;
    return thaw_fail_as(err, THAW_FAIL_NOT_READY, ETIMEDOUT,
                        "guest: not ready within --snapshot-after-ms %llu; no snapshot was taken "
                        "(--snapshot-anyway takes it)",
                        (unsigned long long)c->config.want.after_ms);
}

static enum snapshot_point point_of(const struct quiesce_config *quiesce,
                                    const struct quiesce_report *quiet)
{
    if (quiesce->at_pre_exec)
        return SNAPSHOT_POINT_PRE_EXEC;
    return quiet->by_init ? SNAPSHOT_POINT_QUIESCED : SNAPSHOT_POINT_RUNNING;
}

/* What the guest has no part in any more. */
static int write_rest(struct capture *c, struct machine *m, const struct guest_observation *seen,
                      struct snapshot_parts *parts, struct thaw_error *err)
{
    int rc = is_stream(c) ? 0 : memory_file_index(c->publish.fd, &parts->map, err);
    if (rc == 0)
        rc = finish_state(c, m, seen, parts, err);
    if (rc == 0 && c->config.interrupted)
        rc = c->config.interrupted(c->config.ctx, err);
    if (rc < 0)
        return rc;
    return is_stream(c) ? write_stream(c, m, parts, err) : write_state(c, &parts->state, err);
}

static int write_snapshot(struct capture *c, struct machine *m,
                          const struct guest_observation *seen, struct snapshot_parts *parts,
                          const struct quiesce_report *quiet, struct thaw_error *err)
{
    int rc = save_machine(c, m, parts, err);
    uint64_t saved_ns = clock_monotonic_ns();
    c->report.times.capture_ms = clock_ms_between(quiet->rested_ns, saved_ns);
    c->report.times.pause_ms = clock_ms_between(quiet->paused_ns, saved_ns);
    if (rc == 0)
        rc = note_written(c, m, parts, err);
    if (rc == 0)
        rc = write_rest(c, m, seen, parts, err);
    c->report.memory_bytes = parts->map.pages * GUEST_PAGE_SIZE;
    c->report.data_bytes = page_runs_pages(&parts->map.data) * GUEST_PAGE_SIZE;
    c->report.write_ns = clock_monotonic_ns() - saved_ns;
    return rc;
}

static void free_parts(struct snapshot_parts *parts)
{
    snapshot_writer_free(&parts->sections);
    memory_map_free(&parts->map);
    page_runs_free(&parts->written);
    blob_free(&parts->state);
    blob_free(&parts->index);
    free(parts);
}

/* Brings the guest to rest. Its memory is written meanwhile, but not for a stream, which is written
 * in one go, and not at pre-exec: what the guest's kernel puts off while that takes would be done
 * in each clone, which had its first byte 1.8 times as late. */
static int come_to_rest(struct capture *c, struct machine *m, struct guest_observation *seen,
                        struct snapshot_parts *parts, struct quiesce_report *quiet,
                        struct thaw_error *err)
{
    struct copying copying = {.capture = c, .machine = m, .parts = parts};
    bool at_pre_exec = c->config.want.on_pre_exec && seen->pre_exec_ready && c->config.mailbox;
    const struct quiesce_config quiesce = {
        .at_pre_exec = at_pre_exec,
        .quiesce_ms = c->config.want.quiesce_ms,
        .interrupted = c->config.interrupted,
        .ctx = c->config.ctx,
        .copy = is_stream(c) || at_pre_exec ? NULL : copy_memory,
        .copy_ctx = &copying,
    };
    int rc = at_pre_exec ? rehearse(c, m, seen, err) : 0;
    if (rc == 0)
        rc = snapshot_quiesce(m, &quiesce, seen, quiet, err);
    if (rc < 0)
        return rc;
    c->report.point = point_of(&quiesce, quiet);
    c->report.pauses = quiet->pauses;
    parts->copied = quiet->copied;
    return parts->copied ? 0 : forget_copy(c, m->vm, parts, err);
}

static int take_parts(struct capture *c, struct machine *m, struct guest_observation *seen,
                      struct snapshot_parts *parts, struct thaw_error *err)
{
    uint64_t fired_ns = clock_monotonic_ns();
    struct quiesce_report quiet = {0};
    int rc = come_to_rest(c, m, seen, parts, &quiet, err);
    if (rc < 0)
        return rc;
    c->report.times = (struct snapshot_times){
        .boot_ms = clock_ms_between(c->config.started_ns, m->vm->first_run_ns),
        .trigger_ms = clock_ms_between(m->vm->first_run_ns, fired_ns),
        .quiesce_ms = clock_ms_between(fired_ns, quiet.rested_ns)};
    return write_snapshot(c, m, seen, parts, &quiet, err);
}

int capture_take(struct capture *c, struct machine *m, enum snapshot_trigger trigger,
                 struct guest_observation *seen, struct thaw_error *err)
{
    int rc = check_trigger(c, trigger, err);
    if (rc < 0)
        return rc;
    struct snapshot_parts *parts = calloc(1, sizeof(*parts));
    if (!parts)
        return thaw_fail(err, ENOMEM, "snapshot");
    c->report.trigger = trigger;
    rc = take_parts(c, m, seen, parts, err);
    free_parts(parts);
    c->report.taken = rc == 0;
    return rc;
}

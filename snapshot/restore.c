/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/restore.h"

#include "snapshot/device_state.h"

#include "snapshot/uring.h"
#include "snapshot/written.h"
#include "vmm/base/clock.h"
#include "vmm/base/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <sys/stat.h>

/* ---- opening ------------------------------------------------------------------------------ */

static int open_source(struct restore *r, struct thaw_error *err)
{
    if (snapshot_is_stream(r->config.path))
        return stream_open(r->config.stream_fd, &r->stream, &r->state, err);
    r->dir_fd = snapshot_open_directory(r->config.path, err);
    if (r->dir_fd < 0)
        return r->dir_fd;
    return snapshot_state_read(r->dir_fd, &r->state, err);
}

static int decode_sections(struct restore *r, struct thaw_error *err)
{
    size_t size;
    const void *bytes = snapshot_section_get(&r->state, SNAPSHOT_META, 0, &size, err);
    if (!bytes)
        return thaw_error_code(err);
    int rc = snapshot_meta_decode(&r->meta, bytes, size, err);
    if (rc < 0)
        return rc;
    rc = snapshot_map_read(&r->state, &r->map, err);
    if (rc == 0 && r->map.pages * GUEST_PAGE_SIZE != r->meta->memory_size)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL,
                            "snapshot: meta and memory map speak of different memory");
    if (rc < 0)
        return rc;
    bytes = snapshot_section(&r->state, SNAPSHOT_WRITTEN, 0, &size);
    return bytes ? written_decode(&r->written, &r->map, bytes, size, err) : 0;
}

static int open_memory(struct restore *r, struct thaw_error *err)
{
    if (r->stream)
        return 0;
    r->packed = packed_is(r->dir_fd);
    r->memory_fd = r->packed ? packed_open(r->dir_fd, &r->map, err)
                             : memory_file_open(r->dir_fd, &r->map, err);
    return r->memory_fd < 0 ? r->memory_fd : 0;
}

/* A working set is recorded from the memory as it lies in a directory, and put beside it. */
static int check_recording(const struct restore *r, struct thaw_error *err)
{
    if (!r->config.record || (!r->stream && !r->packed))
        return 0;
    return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                        "%s: the snapshot's memory is packed: thaw snapshot unpack it, then record",
                        r->config.path);
}

static int open_working_set(struct restore *r, struct thaw_error *err)
{
    if (r->stream || r->packed)
        return 0;
    int rc = working_set_open(r->dir_fd, &r->state.header, &r->map, &r->working_set, err);
    if (rc == -ENOENT) {
        *err = (struct thaw_error){0};
        return 0;
    }
    r->has_working_set = rc == 0;
    return rc;
}

static int make_plan(struct restore *r, struct thaw_error *err)
{
    if (r->stream)
        return 0;
    struct plan_input input = {
        .map = &r->map,
        .working_set = r->has_working_set ? &r->working_set.runs : NULL,
        .packed = r->packed,
        .mode = r->config.mode,
        .io_uring = !r->config.no_io_uring,
    };
    /* Without a working set the page cache decides nothing, and looking costs 18 system calls. */
    if (!r->packed && (r->has_working_set || r->config.explain))
        memory_cache_observe(r->memory_fd, &r->map, input.working_set, &input.cache);
    int rc = restore_plan_make(&input, &r->plan, err);
    /* Asking costs a system call, and most plans read nothing. */
    if (rc < 0 || !input.io_uring || (r->plan.reads == 0 && !r->packed) || uring_is_allowed())
        return rc;
    restore_plan_free(&r->plan);
    input.io_uring = false;
    return restore_plan_make(&input, &r->plan, err);
}

/* The sections of the vCPUs, as they are in the file. */
static int view_state(struct restore *r, struct thaw_error *err)
{
    const struct snapshot_state *state = &r->state;
    struct arch_state_view *view = &r->view;
    const void **data;
    view->vcpu_count = r->meta->vcpus;
    for (unsigned i = 0; i < r->meta->vcpus; i++) {
        data = &view->cpuid[i].data;
        *data = snapshot_section_get(state, SNAPSHOT_CPUID, i, &view->cpuid[i].size, err);
        if (!*data)
            return thaw_error_code(err);
        data = &view->vcpu[i].data;
        *data = snapshot_section_get(state, SNAPSHOT_VCPU, i, &view->vcpu[i].size, err);
        if (!*data)
            return thaw_error_code(err);
    }
    view->vm.data = snapshot_section_get(state, SNAPSHOT_VM, 0, &view->vm.size, err);
    return view->vm.data ? 0 : thaw_error_code(err);
}

static int check_host(struct restore *r, struct thaw_error *err)
{
    int rc = view_state(r, err);
    if (rc < 0)
        return rc;
    r->kvm_fd = kvm_open(err);
    return r->kvm_fd < 0 ? r->kvm_fd : arch_state_check(r->kvm_fd, &r->view, err);
}

int restore_open(struct restore *r, const struct restore_config *config, struct thaw_error *err)
{
    *r = (struct restore){.config = *config,
                          .dir_fd = -1,
                          .memory_fd = -1,
                          .kvm_fd = -1,
                          .working_set = {.fd = -1},
                          .disks = PUBLISH_NONE};
    r->times.begun_ns = clock_monotonic_ns();
    int rc = open_source(r, err);
    if (rc == 0)
        rc = decode_sections(r, err);
    if (rc == 0)
        rc = open_memory(r, err);
    if (rc == 0)
        rc = check_recording(r, err);
    if (rc == 0)
        rc = open_working_set(r, err);
    if (rc == 0)
        rc = make_plan(r, err);
    r->times.opened_ns = clock_monotonic_ns();
    return rc;
}

void restore_close(struct restore *r)
{
    restore_stop(r);
    restore_plan_free(&r->plan);
    if (r->has_working_set)
        working_set_close(&r->working_set);
    for (unsigned i = 0; i < r->devices.disk_count; i++)
        disk_config_free(&r->devices.disks[i]);
    snapshot_meta_free(r->meta);
    memory_map_free(&r->map);
    page_runs_free(&r->written);
    snapshot_state_free(&r->state);
    stream_close(r->stream);
    publish_end(&r->disks);
    const int fds[] = {r->dir_fd, r->memory_fd, r->kvm_fd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* ---- the devices -------------------------------------------------------------------------- */

static const char *relocated_disk(const struct restore *r, unsigned number)
{
    char buffer[DISK_NAME_MAX];
    const char *name = disk_record_name(&r->meta->disks[number], number, buffer);
    for (unsigned i = 0; i < r->config.disk_count; i++)
        if (strcmp(r->config.disks[i].name, name) == 0)
            return r->config.disks[i].path;
    return NULL;
}

static bool is_disk(const struct restore *r, const char *wanted)
{
    char buffer[DISK_NAME_MAX];
    for (unsigned i = 0; i < r->meta->disk_count; i++)
        if (strcmp(disk_record_name(&r->meta->disks[i], i, buffer), wanted) == 0)
            return true;
    return false;
}

static int place_disks(struct restore *r, struct thaw_error *err)
{
    for (unsigned i = 0; i < r->config.disk_count; i++)
        if (!is_disk(r, r->config.disks[i].name))
            return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                                "--disk %s: the snapshot has no disk of this name (thaw snapshot "
                                "inspect names them)",
                                r->config.disks[i].name);
    int rc = 0;
    int files = r->stream ? r->disks.fd : r->dir_fd;
    while (r->devices.disk_count < r->meta->disk_count && rc == 0) {
        unsigned i = r->devices.disk_count;
        rc = disk_restore(&r->meta->disks[i], files, i, relocated_disk(r, i), &r->devices.disks[i],
                          err);
        if (rc == 0)
            r->devices.disk_count++;
    }
    return rc;
}

static int place_nets(struct restore *r, struct thaw_error *err)
{
    for (unsigned i = 0; i < r->meta->net_count; i++) {
        const struct snapshot_net *was = &r->meta->nets[i];
        struct net_config *net = &r->devices.nets[i];
        *net = r->config.nets[i];
        if (!net->tap && net->fd < 0) {
            if (!was->tap[0])
                return thaw_fail_as(err, THAW_FAIL_USAGE, ENODEV,
                                    "eth%u: was a descriptor: --net eth%u=TAP or eth%u=fd=N gives "
                                    "it a new one",
                                    i, i, i);
            net->tap = was->tap;
        }
        memcpy(net->mac, was->mac, sizeof(net->mac));
        net->mtu = was->mtu;
    }
    r->devices.net_count = r->meta->net_count;
    return 0;
}

static int place_devices(struct restore *r, struct thaw_error *err)
{
    const struct snapshot_meta *meta = r->meta;
    struct machine_devices *d = &r->devices;
    int rc = place_disks(r, err);
    if (rc == 0)
        rc = place_nets(r, err);
    if (rc < 0)
        return rc;
    if (meta->vsock.present)
        d->vsock = (struct vsock_config){.path = r->config.vsock_path ? r->config.vsock_path
                                                                      : meta->vsock.path,
                                         .guest_cid = meta->vsock.cid};
    else if (r->config.vsock_path)
        return thaw_fail_as(err, THAW_FAIL_USAGE, ENODEV,
                            "--vsock: the snapshot has no virtio socket");
    d->has_ports = meta->has_ports;
    d->ports = r->config.ports;
    d->has_rng = meta->rng.present;
    d->rng = (struct rng_config){.bytes_per_second = meta->rng.bytes_per_second,
                                 .burst = meta->rng.burst};
    d->has_balloon = meta->balloon.present;
    d->balloon = (struct balloon_config){.target_pages = meta->balloon.target_pages,
                                         .reporting = meta->balloon.reporting};
    return 0;
}

/* ---- verifying ---------------------------------------------------------------------------- */

/* Its files, and for a restore also what the disks stand on, wherever that is. */
static int verify_disk(const struct restore *r, unsigned number, struct thaw_error *err)
{
    const struct disk_record *disk = &r->meta->disks[number];
    int rc = disk_verify(disk, r->dir_fd, number, err);
    if (rc < 0 || !r->config.verify || disk->kind == DISK_WRITABLE)
        return rc;
    return disk_verify_image(disk, number, relocated_disk(r, number), err);
}

int restore_verify(struct restore *r, void (*progress)(void *ctx, uint64_t pages), void *ctx,
                   struct thaw_error *err)
{
    const struct pack_options options = {.progress = progress, .ctx = ctx};
    if (r->stream) /* its checksum is at its end, and is looked at always */
        return 0;
    int rc = r->packed ? packed_verify(r->dir_fd, &r->map, &options, err)
                       : memory_file_verify(r->dir_fd, r->memory_fd, &r->map, progress, ctx, err);
    if (rc == 0 && r->has_working_set)
        rc = working_set_verify(&r->working_set, err);
    for (unsigned i = 0; i < r->meta->disk_count && rc == 0; i++)
        rc = verify_disk(r, i, err);
    return rc;
}

/* ---- memory ------------------------------------------------------------------------------- */

static int begin_memory(struct restore *r, struct guest_memory *memory, struct thaw_error *err)
{
    int rc = guest_memory_create(memory, r->map.regions, r->map.region_count, err);
    if (rc < 0 || r->stream)
        return rc;
    if (r->config.record)
        return recorder_begin(&r->recorder, memory, r->memory_fd, &r->map, false, err);
    const struct memory_source source = {
        .map = &r->map,
        .memory_fd = r->memory_fd,
        .working_set = r->has_working_set ? &r->working_set : NULL,
        .written = &r->written,
    };
    rc = memory_load_begin(&r->load, memory, &r->plan, &source, err);
    if (rc < 0)
        guest_memory_destroy(memory);
    else if (!r->config.hold) /* a clone that only stands there writes less */
        memory_load_copy(r->load);
    return rc;
}

/* The disks of a stream come at its end, and are needed before the machine can be built: so its
 * memory has to come first, too. */
static int read_stream(struct restore *r, const struct guest_memory *memory, struct thaw_error *err)
{
    int rc = r->meta->disk_count > 0 ? publish_begin_scratch(&r->disks, err) : 0;
    const struct pack_options options = {0};
    stream_end_with(r->stream, r->config.end_fd);
    return rc < 0 ? rc : stream_load(r->stream, &r->map, memory, r->disks.fd, &options, err);
}

static int finish_memory(struct restore *r, struct thaw_error *err)
{
    return r->load ? memory_load_wait(r->load, NULL, err) : 0;
}

/* ---- the machine -------------------------------------------------------------------------- */

static int load_devices(struct restore *r, struct machine *m, struct thaw_error *err)
{
    int rc = device_state_load(m, &r->state, err);
    if (rc < 0)
        return rc;
    /* First: the standard streams of a device that is stopped are not open. */
    device_state_wake(m);
    if (r->meta->init_version[0])
        machine_adopt(m, r->meta->init_version);
    return 0;
}

static int wake_init(const struct restore *r, struct machine *m,
                     const struct mailbox_content *mailbox, struct thaw_error *err)
{
    if (!r->meta->has_mailbox)
        return 0;
    int rc = mailbox_write(&m->vm->memory, mailbox, err);
    if (rc < 0 || r->meta->point == SNAPSHOT_POINT_RUNNING)
        return rc;
    if (control_doorbell(m->control) < 0)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EAGAIN,
                            "snapshot: section serial 1: no room for the doorbell");
    return 0;
}

/* A machine that cannot be made takes its memory along, with the reads into it under way. */
static void end_filling(void *ctx)
{
    restore_stop(ctx);
}

static int create_machine(struct restore *r, const struct mailbox_content *mailbox,
                          struct guest_memory *memory, struct machine **machine,
                          struct thaw_error *err)
{
    const struct machine_config config = {
        .vm = {.memory_size = r->meta->memory_size,
               .vcpus = r->meta->vcpus,
               .memory = memory,
               .end_filling = end_filling,
               .filling_ctx = r,
               .kvm_fd = r->kvm_fd},
        .mailbox = r->meta->has_mailbox ? mailbox : NULL,
        .devices = &r->devices,
        .console_fd = r->config.console_fd,
        .console_moves = r->config.console_moves,
    };
    r->kvm_fd = -1;
    return machine_create(&config, machine, err);
}

static int get_memory(struct restore *r, struct guest_memory *memory, struct thaw_error *err)
{
    int rc = check_host(r, err);
    if (rc == 0)
        rc = begin_memory(r, memory, err);
    return rc == 0 && r->stream ? read_stream(r, memory, err) : rc;
}

static int get_machine(struct restore *r, const struct mailbox_content *mailbox,
                       struct guest_memory *memory, struct machine **machine,
                       struct thaw_error *err)
{
    int rc = place_devices(r, err);
    return rc < 0 ? rc : create_machine(r, mailbox, memory, machine, err);
}

/* Notes when a phase was over, if it went well. */
static int passed(uint64_t *phase, int rc)
{
    if (rc == 0)
        *phase = clock_monotonic_ns();
    return rc;
}

/* Everything in its order; see docs/snapshots.md. */
static int build(struct restore *r, const struct mailbox_content *mailbox,
                 struct guest_memory *memory, struct machine **machine, struct thaw_error *err)
{
    struct restore_times *times = &r->times;
    int rc = passed(&times->mapped_ns, get_memory(r, memory, err));
    if (rc == 0)
        rc = passed(&times->created_ns, get_machine(r, mailbox, memory, machine, err));
    if (rc == 0)
        rc = passed(&times->memory_ns, finish_memory(r, err));
    if (rc == 0)
        rc =
            passed(&times->state_ns, vm_state_load((*machine)->vm, &r->view, r->config.clock, err));
    if (rc == 0)
        rc = passed(&times->devices_ns, load_devices(r, *machine, err));
    if (rc == 0 && !r->config.hold)
        rc = wake_init(r, *machine, mailbox, err);
    return passed(&times->ready_ns, rc);
}

int restore_build(struct restore *r, const struct mailbox_content *mailbox,
                  struct machine **machine, struct thaw_error *err)
{
    struct guest_memory memory = {0};
    cleanup_machine struct machine *m = NULL;
    int rc = build(r, mailbox, &memory, &m, err);
    if (rc < 0) {
        restore_stop(r);
        guest_memory_destroy(&memory); /* whatever the machine has not taken over */
        return rc;
    }
    *machine = take(m);
    return 0;
}

int restore_wake(struct restore *r, struct machine *m, const struct mailbox_content *mailbox,
                 struct thaw_error *err)
{
    if (r->load) {
        memory_load_copy(r->load);
        memory_load_await_copy(r->load);
    }
    int rc = vm_pause(m->vm, err);
    if (rc == 0)
        rc = wake_init(r, m, mailbox, err);
    return rc < 0 ? rc : vm_resume(m->vm, err);
}

void restore_running(struct restore *r)
{
    /* What only the restore needed: of many clones, each has its own. */
    const struct snapshot_header header = r->state.header;
    snapshot_state_free(&r->state);
    r->state.header = header;
    malloc_trim(0);
    if (r->load)
        memory_load_populate(r->load);
}

int restore_record(struct restore *r, struct record_report *report, struct thaw_error *err)
{
    cleanup_page_runs struct page_runs order = {0};
    int rc = recorder_stop(r->recorder, &order, &report->approximate, err);
    report->pages = page_runs_pages(&order);
    return rc < 0 ? rc
                  : working_set_write(r->dir_fd, r->memory_fd, &r->state.header, &r->map, &order,
                                      report->approximate, err);
}

void restore_stop(struct restore *r)
{
    recorder_free(r->recorder);
    r->recorder = NULL;
    memory_load_free(r->load);
    r->load = NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/machine.h"

#include "vmm/arch/x86_64/layout.h"
#include "vmm/loader/kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

static void console_irq(void *ctx, bool level)
{
    vm_irq(ctx, IRQ_CONSOLE, level);
}

static void control_irq(void *ctx, bool level)
{
    vm_irq(ctx, IRQ_CONTROL, level);
}

/* Before anything of the workload comes out. */
static void greet(struct machine *machine)
{
    machine->greeted = true;
    if (machine->streams_fd >= 0 && machine_streams_on_console(machine))
        writer_redirect(machine->console, machine->streams_fd);
}

/* On the vCPU that wrote the line: when the workload is over it goes no further, not even into
 * init's own reboot. */
static void control_changed(void *ctx)
{
    struct machine *machine = ctx;
    struct guest_observation seen;
    control_observe(machine->control, &seen);
    if (seen.hello && !machine->greeted)
        greet(machine);
    if (seen.exited || seen.failed)
        vm_end(machine->vm, VM_END_WORKLOAD, 0, NULL);
    eventfd_write(machine->news_fd, 1);
}

static void input_room(void *ctx)
{
    struct machine *machine = ctx;
    eventfd_write(machine->room_fd, 1);
}

static bool console_transmit(void *ctx, uint8_t byte)
{
    return writer_put(ctx, &byte, 1) == 1;
}

static void console_room(void *ctx)
{
    serial_tx_room(ctx);
}

static void guest_shutdown(void *ctx, uint8_t status)
{
    vm_end(ctx, VM_END_SHUTDOWN, status, NULL);
}

static void guest_reset(void *ctx)
{
    vm_end(ctx, VM_END_RESET, 0, NULL);
}

static int create_devices(struct machine *m, int console_fd, struct thaw_error *err)
{
    m->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    m->room_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (m->news_fd < 0 || m->room_fd < 0)
        return thaw_fail(err, errno, "eventfd");

    int rc = writer_create(console_fd, &m->console, err);
    if (rc < 0)
        return rc;
    const struct serial_callbacks uart = {
        .set_irq = console_irq,
        .irq_ctx = m->vm,
        .transmit = console_transmit,
        .tx_ctx = m->console,
        .rx_room = input_room,
        .rx_ctx = m,
    };
    rc = serial_create(&uart, &m->uart, err);
    if (rc < 0)
        return rc;
    const struct control_callbacks control = {
        .set_irq = control_irq, .irq_ctx = m->vm, .changed = control_changed, .changed_ctx = m};
    return control_create(&control, &m->control, err);
}

/* Where a PC has them. */
static int place_devices(struct machine *m, struct thaw_error *err)
{
    m->debug_exit = (struct debug_exit){.shutdown = guest_shutdown, .ctx = m->vm};
    m->i8042 = (struct i8042){.reset = guest_reset, .ctx = m->vm};
    const struct {
        uint64_t base, length;
        const struct bus_ops *ops;
        void *device;
    } ports[] = {
        {UART_CONSOLE_PORT, SERIAL_PORTS, &serial_bus_ops, m->uart},
        {UART_CONTROL_PORT, SERIAL_PORTS, &serial_bus_ops, control_serial(m->control)},
        {DEBUG_EXIT_PORT, DEBUG_EXIT_PORTS, &debug_exit_bus_ops, &m->debug_exit},
        {I8042_DATA_PORT, 1, &i8042_data_bus_ops, &m->i8042},
        {I8042_COMMAND_PORT, 1, &i8042_command_bus_ops, &m->i8042},
        {CMOS_PORT, CMOS_PORTS, &cmos_bus_ops, &m->cmos},
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]) && rc == 0; i++)
        rc = bus_add(&m->vm->ports, ports[i].base, ports[i].length, ports[i].ops, ports[i].device,
                     err);
    return rc;
}

/* Gives a device that was just created, with the result `rc`, the next place. */
static int plug(struct machine *m, int rc, struct virtio_device *const *device,
                struct thaw_error *err)
{
    if (rc < 0)
        return rc;
    if (m->slot_count == ARCH_VIRTIO_MAX) {
        virtio_destroy(*device);
        return thaw_fail_as(err, THAW_FAIL_USAGE, ENOSPC, "devices: a guest has at most %u",
                            ARCH_VIRTIO_MAX);
    }
    rc = virtio_slot_init(&m->slots[m->slot_count], m->vm, m->slot_count, *device, err);
    if (rc == 0)
        m->slot_count++;
    return rc;
}

/* In the order in which Linux numbers them: the first disk is vda. */
static int plug_all(struct machine *m, const struct machine_devices *d, struct thaw_error *err)
{
    const struct virtio_context context = {.memory = &m->vm->memory, .loop = m->loop};
    struct virtio_device *device;
    int rc = 0;
    for (unsigned i = 0; i < d->disk_count && rc == 0; i++)
        rc = plug(m, blk_create(&d->disks[i], &context, &device, err), &device, err);
    for (unsigned i = 0; i < d->net_count && rc == 0; i++)
        rc = plug(m, net_create(&d->nets[i], &context, &device, err), &device, err);
    if (rc == 0 && d->vsock.path)
        rc = plug(m, vsock_create(&d->vsock, &context, &device, err), &device, err);
    if (rc == 0 && d->has_ports)
        rc = plug(m, ports_create(&d->ports, &context, &m->ports, err), &m->ports, err);
    if (rc == 0 && d->has_rng)
        rc = plug(m, rng_create(&d->rng, &context, &device, err), &device, err);
    if (rc == 0 && d->has_balloon)
        rc = plug(m, balloon_create(&d->balloon, &context, &device, err), &device, err);
    return rc;
}

static int compose_cmdline(const struct machine *m, const char *wanted,
                           char cmdline[ARCH_CMDLINE_MAX], struct thaw_error *err)
{
    cmdline[0] = '\0';
    for (unsigned i = 0; i < m->slot_count; i++) {
        int rc = virtio_slot_describe(&m->slots[i], cmdline, ARCH_CMDLINE_MAX, err);
        if (rc < 0)
            return rc;
    }
    size_t used = strlen(cmdline), size = strlen(wanted) + 1;
    if (size > ARCH_CMDLINE_MAX - used)
        return thaw_fail_as(err, THAW_FAIL_USAGE, E2BIG,
                            "kernel command line: %zu bytes; with these devices it holds %zu",
                            size - 1, ARCH_CMDLINE_MAX - used - 1);
    memcpy(cmdline + used, wanted, size);
    return 0;
}

static int load_guest(struct machine *m, const struct machine_config *config,
                      struct thaw_error *err)
{
    struct boot_image image = {0};
    char cmdline[ARCH_CMDLINE_MAX];
    guest_memory_prefer_huge(&m->vm->memory);
    int rc = compose_cmdline(m, config->cmdline, cmdline, err);
    if (rc == 0)
        rc = kernel_load(config->kernel, &m->vm->memory, &image, err);
    if (rc == 0)
        rc = initramfs_load(&config->initramfs, &m->vm->memory, &image, err);
    if (rc == 0 && config->mailbox)
        rc = mailbox_write(&m->vm->memory, config->mailbox, err);
    if (rc == 0)
        rc = vm_boot(m->vm, &image, cmdline, err);
    return rc;
}

/* Init stores the moment of execve in the mailbox. */
static void watch_exec(struct machine *m)
{
    const uint64_t at = THAW_MAILBOX_GPA + THAW_MAILBOX_REPORT_OFFSET +
                        offsetof(struct thaw_mailbox_report, exec_ns);
    m->vm->mark = guest_memory_at(&m->vm->memory, at, sizeof(uint64_t));
}

int machine_create(const struct machine_config *config, struct machine **out,
                   struct thaw_error *err)
{
    cleanup_machine struct machine *m = calloc(1, sizeof(*m));
    if (!m)
        return thaw_fail(err, ENOMEM, "machine");
    m->news_fd = m->room_fd = -1;
    m->streams_fd = config->console_moves ? config->devices->ports.stdout_fd : -1;
    m->has_mailbox = config->mailbox;

    int rc = vm_create(&config->vm, &m->vm, err);
    if (rc == 0)
        rc = create_devices(m, config->console_fd, err);
    if (rc == 0)
        rc = place_devices(m, err);
    if (rc == 0)
        rc = loop_create(&m->loop, err);
    if (rc == 0)
        rc = config->devices ? plug_all(m, config->devices, err) : 0;
    if (rc == 0 && config->kernel)
        rc = load_guest(m, config, err);
    if (rc < 0)
        return rc;
    watch_exec(m);
    *out = take(m);
    return 0;
}

void machine_destroy(struct machine *m)
{
    if (!m)
        return;
    /* The vCPUs first: they call the devices. Then the threads that serve these. */
    if (m->vm)
        vm_stop(m->vm);
    if (m->loop)
        loop_stop(m->loop);
    if (m->console)
        writer_stop(m->console);
    for (unsigned i = 0; i < m->slot_count; i++)
        virtio_slot_destroy(&m->slots[i]);
    loop_destroy(m->loop);
    serial_destroy(m->uart);
    writer_destroy(m->console);
    control_destroy(m->control);
    vm_destroy(m->vm);
    if (m->news_fd >= 0)
        close(m->news_fd);
    if (m->room_fd >= 0)
        close(m->room_fd);
    free(m);
}

void machine_adopt(struct machine *m, const char *version)
{
    control_adopt(m->control, version);
    greet(m);
}

int machine_start(struct machine *m, struct thaw_error *err)
{
    int rc = writer_start(m->console, console_room, m->uart, err);
    if (rc == 0)
        rc = loop_start(m->loop, err);
    return rc < 0 ? rc : vm_start(m->vm, err);
}

/* What the driver has put into the queues and not yet told of, or told of and not yet been heard:
 * with the vCPUs stopped, nothing comes after it. */
static void serve_queues(struct machine *m)
{
    loop_lock(m->loop);
    for (unsigned i = 0; i < m->slot_count; i++)
        virtio_kick_all(m->slots[i].mmio.device);
    loop_unlock(m->loop);
}

static void stop_devices(struct machine *m)
{
    loop_lock(m->loop);
    for (unsigned i = 0; i < m->slot_count; i++)
        virtio_stop(m->slots[i].mmio.device);
    loop_unlock(m->loop);
}

int machine_pause(struct machine *m, unsigned timeout_ms, struct thaw_error *err)
{
    int rc = vm_pause(m->vm, err);
    if (rc < 0)
        return rc;
    serve_queues(m);
    m->output_waits = !machine_flush(m, timeout_ms);
    stop_devices(m);
    loop_stop(m->loop);
    return 0;
}

const char *machine_in_flight(struct machine *m)
{
    if (m->output_waits)
        return "the output, whose reader is slow,";
    if (!serial_is_quiet(m->uart))
        return "the console";
    if (!control_is_quiet(m->control))
        return "the control port";
    for (unsigned i = 0; i < m->slot_count; i++) {
        const struct virtio_device *device = m->slots[i].mmio.device;
        if (!virtio_is_quiet(device))
            return device->ops->name;
    }
    return NULL;
}

uint64_t machine_asked(struct machine *m)
{
    uint64_t all = 0;
    loop_lock(m->loop);
    for (unsigned i = 0; i < m->slot_count; i++)
        all = all * 31 + virtio_asked(m->slots[i].mmio.device);
    loop_unlock(m->loop);
    return all;
}

int machine_resume(struct machine *m, struct thaw_error *err)
{
    loop_lock(m->loop);
    for (unsigned i = 0; i < m->slot_count; i++)
        virtio_resume(m->slots[i].mmio.device);
    loop_unlock(m->loop);
    int rc = loop_start(m->loop, err);
    return rc < 0 ? rc : vm_resume(m->vm, err);
}

void machine_observe(struct machine *m, struct guest_observation *seen)
{
    eventfd_t ignored;
    eventfd_read(m->news_fd, &ignored);
    control_observe(m->control, seen);
}

bool machine_streams_on_console(struct machine *m)
{
    return !m->ports || !ports_are_open(m->ports);
}

bool machine_flush(struct machine *m, unsigned timeout_ms)
{
    bool flushed = !m->ports || ports_flush(m->ports, timeout_ms);
    return writer_flush(m->console, timeout_ms) && flushed;
}

void machine_mute(struct machine *m)
{
    if (m->ports)
        ports_mute(m->ports);
    writer_stop(m->console);
}

int machine_output_error(struct machine *m)
{
    const struct ports_report streams =
        m->ports ? ports_report(m->ports) : (struct ports_report){0};
    const int errors[] = {
        streams.outputs[PORTS_STDOUT].error,
        streams.outputs[PORTS_STDERR].error,
        writer_report(m->console).error,
    };
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        if (errors[i] != 0 && errors[i] != EPIPE)
            return errors[i];
    return 0;
}

size_t machine_input(struct machine *m, const void *bytes, size_t size)
{
    return size == 0 ? 0 : serial_receive(m->uart, bytes, size);
}

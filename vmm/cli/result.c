/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/result.h"

#include "vmm/base/clock.h"

#include <jansson.h>
#include <stddef.h>
#include <string.h>

static void collect_devices(struct run_result *result, struct machine *machine)
{
    loop_lock(machine->loop);
    for (unsigned i = 0; i < machine->slot_count; i++) {
        const struct virtio_device *device = machine->slots[i].mmio.device;
        result->devices[i] = (struct device_result){.name = device->ops->name,
                                                    .complaint = virtio_complaint(device),
                                                    .kicks = device->kicks,
                                                    .interrupts = device->interrupts};
    }
    loop_unlock(machine->loop);
    result->device_count = machine->slot_count;
}

static void collect_vcpus(struct run_result *result, struct vm *vm)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        struct vcpu *vcpu = &vm->vcpus[i];
        result->exits.io += vcpu->exits.io;
        result->exits.mmio += vcpu->exits.mmio;
        result->exits.other += vcpu->exits.other;
        result->exits.interrupted += vcpu->exits.interrupted;
        result->minor_faults += vcpu->minor_faults;
        result->major_faults += vcpu->major_faults;
        result->system_ns += vcpu->system_ns;
        if (vcpu->first_exit_ns &&
            (!result->first_exit_ns || vcpu->first_exit_ns < result->first_exit_ns))
            result->first_exit_ns = vcpu->first_exit_ns;
    }
    /* Init runs on one CPU of several: its own count is the one that saw the mark first. */
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        if (vm->vcpus[i].exits_to_mark > result->exits_to_exec)
            result->exits_to_exec = vm->vcpus[i].exits_to_mark;
}

/* When the first byte of the workload's was written; 0: there was none. */
static uint64_t first_byte_ns(const struct run_result *r)
{
    uint64_t out = r->streams.outputs[PORTS_STDOUT].first_ns;
    uint64_t error = r->streams.outputs[PORTS_STDERR].first_ns;
    if (out == 0 && error == 0)
        return r->console.first_ns;
    return out && (!error || out < error) ? out : error;
}

void result_collect(struct run_result *result, struct machine *machine)
{
    result->first_run_ns = machine->vm->first_run_ns;
    collect_vcpus(result, machine->vm);
    struct thaw_error ignored;
    if (machine->has_mailbox)
        mailbox_read_report(&machine->vm->memory, &result->guest, &ignored);
    result->console = writer_report(machine->console);
    if (machine->ports)
        result->streams = ports_report(machine->ports);
    collect_devices(result, machine);
}

/* Milliseconds after the start; absent when it did not happen. */
static void add_mark(json_t *marks, const char *name, uint64_t at_ns, uint64_t started_ns)
{
    if (at_ns >= started_ns)
        json_object_set_new(marks, name, json_real((double)(at_ns - started_ns) / 1e6));
}

static json_t *marks_json(const struct run_result *r)
{
    const struct guest_observation *seen = &r->session.seen;
    json_t *marks = json_object();
    add_mark(marks, "kvm_run", r->first_run_ns, r->started_ns);
    add_mark(marks, "hello", seen->hello_ns, r->started_ns);
    add_mark(marks, "workload_pre_exec", seen->pre_exec_ns, r->started_ns);
    add_mark(marks, "workload_exec", seen->exec_ns, r->started_ns);
    add_mark(marks, "workload_exit", seen->exited_ns, r->started_ns);
    add_mark(marks, "first_exit", r->first_exit_ns, r->started_ns);
    add_mark(marks, "first_byte", first_byte_ns(r), r->started_ns);
    return marks;
}

static json_t *capture_json(const struct capture_report *c)
{
    if (!c->taken)
        return json_null();
    return json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:i, s:I, s:I}", "trigger",
                     snapshot_trigger_name(c->trigger), "point", snapshot_point_name(c->point),
                     "boot_ms", c->times.boot_ms, "trigger_ms", c->times.trigger_ms, "quiesce_ms",
                     c->times.quiesce_ms, "capture_ms", c->times.capture_ms, "pause_ms",
                     c->times.pause_ms, "write_ms", (double)c->write_ns / 1e6, "pauses",
                     (int)c->pauses, "memory_bytes", (json_int_t)c->memory_bytes, "data_bytes",
                     (json_int_t)c->data_bytes);
}

/* The phases of a load, in their order. */
static const struct {
    const char *name;
    size_t from, to; /* in struct restore_times */
} phases[] = {
    {"open", offsetof(struct restore_times, begun_ns), offsetof(struct restore_times, opened_ns)},
    {"map", offsetof(struct restore_times, opened_ns), offsetof(struct restore_times, mapped_ns)},
    {"vm", offsetof(struct restore_times, mapped_ns), offsetof(struct restore_times, created_ns)},
    {"memory", offsetof(struct restore_times, created_ns),
     offsetof(struct restore_times, memory_ns)},
    {"state", offsetof(struct restore_times, memory_ns), offsetof(struct restore_times, state_ns)},
    {"devices", offsetof(struct restore_times, state_ns),
     offsetof(struct restore_times, devices_ns)},
    {"mailbox", offsetof(struct restore_times, devices_ns),
     offsetof(struct restore_times, ready_ns)},
};
#define PHASES (sizeof(phases) / sizeof(phases[0]))

static double phase_ms(const struct restore_times *times, size_t phase)
{
    uint64_t from, to;
    memcpy(&from, (const char *)times + phases[phase].from, sizeof(from));
    memcpy(&to, (const char *)times + phases[phase].to, sizeof(to));
    return from ? clock_ms_between(from, to) : 0;
}

static json_t *restore_json(const struct run_result *r)
{
    if (!r->restore.ready_ns)
        return json_null();
    json_t *load = json_object();
    for (size_t i = 0; i < PHASES; i++)
        json_object_set_new(load, phases[i].name, json_real(phase_ms(&r->restore, i)));
    return json_pack(
        "{s:f, s:o, s:f, s:f, s:I, s:I, s:f, s:I, s:f}", "load_ms",
        clock_ms_between(r->started_ns, r->first_run_ns), "load_phases_ms", load,
        "first_instruction_ms", clock_ms_between(r->started_ns, r->first_exit_ns), "first_byte_ms",
        clock_ms_between(r->started_ns, first_byte_ns(r)), "minor_faults",
        (json_int_t)r->minor_faults, "major_faults", (json_int_t)r->major_faults, "kernel_ms",
        (double)r->system_ns / 1e6, "exits_to_exec",
        (json_int_t)(r->exits_to_exec ? r->exits_to_exec - 1 : 0), "init_ms",
        r->guest.resumed_ns ? clock_ms_between(r->guest.resumed_ns, r->guest.exec_ns) : 0);
}

void result_print_capture(const struct capture_report *c, const char *path)
{
    fprintf(stderr,
            "thaw: snapshot %s: trigger %s, point %s; boot %.1f ms, to the trigger %.1f ms, "
            "quiesce %.2f ms, capture %.2f ms (pause %.2f ms); %.1f of %.0f MiB\n",
            path, snapshot_trigger_name(c->trigger), snapshot_point_name(c->point),
            c->times.boot_ms, c->times.trigger_ms, c->times.quiesce_ms, c->times.capture_ms,
            c->times.pause_ms, (double)c->data_bytes / (1 << 20),
            (double)c->memory_bytes / (1 << 20));
}

void result_print_timing(const struct run_result *r)
{
    fprintf(stderr, "thaw: load %.3f ms (", clock_ms_between(r->started_ns, r->first_run_ns));
    for (size_t i = 0; i < PHASES; i++)
        fprintf(stderr, "%s%s %.3f", i ? ", " : "", phases[i].name, phase_ms(&r->restore, i));
    fprintf(stderr, "), first instruction %.3f ms, ",
            clock_ms_between(r->started_ns, r->first_exit_ns));
    if (first_byte_ns(r))
        fprintf(stderr, "first byte %.3f ms, ", clock_ms_between(r->started_ns, first_byte_ns(r)));
    fprintf(stderr, "faults %llu and %llu from disk, %.3f ms in the host's kernel\n",
            (unsigned long long)r->minor_faults, (unsigned long long)r->major_faults,
            (double)r->system_ns / 1e6);
}

static json_t *annotations_json(const struct bundle *bundle)
{
    json_t *annotations = bundle ? json_object_get(bundle->config, "annotations") : NULL;
    return annotations ? json_incref(annotations) : json_object();
}

static json_t *streams_json(const struct ports_report *streams)
{
    const struct writer_report *out = &streams->outputs[PORTS_STDOUT];
    const struct writer_report *errors = &streams->outputs[PORTS_STDERR];
    json_int_t discarded = (json_int_t)out->discarded + (json_int_t)errors->discarded;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "stdin", (json_int_t)streams->input,
                     "stdout", (json_int_t)out->written, "stderr", (json_int_t)errors->written,
                     "discarded", discarded, "kicks", (json_int_t)streams->kicks, "interrupts",
                     (json_int_t)streams->interrupts);
}

static json_t *devices_json(const struct run_result *r)
{
    json_t *devices = json_array();
    for (unsigned i = 0; i < r->device_count; i++) {
        const struct device_result *d = &r->devices[i];
        json_array_append_new(devices,
                              json_pack("{s:s, s:I, s:I, s:s?}", "name", d->name, "kicks",
                                        (json_int_t)d->kicks, "interrupts",
                                        (json_int_t)d->interrupts, "broken", d->complaint));
    }
    return devices;
}

static json_t *dropped_json(const struct guest_observation *seen)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "too_long", (json_int_t)seen->dropped.too_long,
                     "not_ascii", (json_int_t)seen->dropped.not_ascii, "unknown",
                     (json_int_t)seen->dropped.unknown, "malformed",
                     (json_int_t)seen->dropped.malformed, "ignored",
                     (json_int_t)seen->dropped.ignored);
}

/* A path need not be UTF-8, and a long message may be cut within a character: a message that JSON
 * cannot hold is given in ASCII. */
static json_t *message_json(const struct thaw_error *err)
{
    char ascii[sizeof(err->message)];
    if (!err->code)
        return json_null();
    json_t *message = json_string(err->message);
    if (message)
        return message;
    for (size_t i = 0; i < sizeof(ascii); i++)
        ascii[i] = (char)(err->message[i] & 0x80 ? '?' : err->message[i]);
    return json_string(ascii);
}

void result_print_json(const struct run_result *r, const struct bundle *bundle, int status,
                       const struct thaw_error *err)
{
    const char *error = err->code ? thaw_failure_name(err->failure) : NULL;
    json_t *root = json_pack(
        "{s:i, s:s?, s:i, s:o, s:I, s:o, s:{s:I, s:I, s:I, s:I}, s:{s:I, s:I}, s:o, s:o, s:o, "
        "s:o, s:o, s:o}",
        "status", status, "error", error, "code", (int)err->failure, "message", message_json(err),
        "started_ns", (json_int_t)r->started_ns, "marks_ms", marks_json(r), "exits", "io",
        (json_int_t)r->exits.io, "mmio", (json_int_t)r->exits.mmio, "other",
        (json_int_t)r->exits.other, "interrupted", (json_int_t)r->exits.interrupted, "console",
        "written", (json_int_t)r->console.written, "discarded", (json_int_t)r->console.discarded,
        "streams", streams_json(&r->streams), "devices", devices_json(r), "dropped_lines",
        dropped_json(&r->session.seen), "snapshot", capture_json(&r->capture), "restore",
        restore_json(r), "annotations", annotations_json(bundle));
    if (!root)
        return;
    json_dumpf(root, stderr, JSON_COMPACT | JSON_PRESERVE_ORDER);
    fputc('\n', stderr);
    json_decref(root);
}

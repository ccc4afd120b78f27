/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/result.h"

#include <jansson.h>

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

void result_collect(struct run_result *result, struct machine *machine)
{
    result->first_run_ns = machine->vm->first_run_ns;
    result->console = writer_report(machine->console);
    if (machine->ports)
        result->streams = ports_report(machine->ports);
    for (unsigned i = 0; i < machine->vm->vcpu_count; i++) {
        struct vcpu_exits *exits = &machine->vm->vcpus[i].exits;
        result->exits.io += exits->io;
        result->exits.mmio += exits->mmio;
        result->exits.other += exits->other;
        result->exits.interrupted += exits->interrupted;
    }
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
    return marks;
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
        "{s:i, s:s?, s:i, s:o, s:I, s:o, s:{s:I, s:I, s:I, s:I}, s:{s:I, s:I}, s:o, s:o, s:o, s:o}",
        "status", status, "error", error, "code", (int)err->failure, "message", message_json(err),
        "started_ns", (json_int_t)r->started_ns, "marks_ms", marks_json(r), "exits", "io",
        (json_int_t)r->exits.io, "mmio", (json_int_t)r->exits.mmio, "other",
        (json_int_t)r->exits.other, "interrupted", (json_int_t)r->exits.interrupted, "console",
        "written", (json_int_t)r->console.written, "discarded", (json_int_t)r->console.discarded,
        "streams", streams_json(&r->streams), "devices", devices_json(r), "dropped_lines",
        dropped_json(&r->session.seen), "annotations", annotations_json(bundle));
    if (!root)
        return;
    json_dumpf(root, stderr, JSON_COMPACT | JSON_PRESERVE_ORDER);
    fputc('\n', stderr);
    json_decref(root);
}

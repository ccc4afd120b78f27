/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM with its devices: what the verbs drive. Two UARTs (console and control port), debug exit,
 * keyboard-controller reset, clock, and the mailbox, wired to a struct vm.
 *
 * Life: machine_create, machine_start, wait on the two descriptors, machine_destroy. Everything is
 * called from one thread, the owner's; the devices themselves are called by vCPUs.
 */
#ifndef THAW_DEVICES_MACHINE_H
#define THAW_DEVICES_MACHINE_H

#include "devices/cmos.h"
#include "devices/control.h"
#include "devices/debug_exit.h"
#include "devices/i8042.h"
#include "devices/mailbox.h"
#include "devices/serial.h"
#include "devices/virtio/balloon.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/net.h"
#include "devices/virtio/ports.h"
#include "devices/virtio/rng.h"
#include "devices/virtio/slot.h"
#include "devices/virtio/vsock.h"
#include "devices/writer.h"
#include "vmm/core/vm.h"
#include "vmm/loader/initramfs.h"

#define MACHINE_DISKS_MAX 8u
#define MACHINE_NETS_MAX  4u

/* The virtio devices of a guest; all zeros: none. Strings are borrowed until machine_create() has
 * returned. */
struct machine_devices {
    unsigned disk_count, net_count;
    struct blk_config disks[MACHINE_DISKS_MAX]; /* vda, vdb... */
    struct net_config nets[MACHINE_NETS_MAX];   /* eth0, eth1... */
    struct vsock_config vsock;                  /* path NULL: none */
    struct ports_config ports;
    struct rng_config rng;
    struct balloon_config balloon;
    bool has_ports, has_rng, has_balloon;
};

struct machine_config {
    struct vm_config vm;
    const char *kernel;         /* path; NULL: nothing is loaded, the guest comes from a snapshot */
    const char *cmdline;        /* the devices' descriptions are put before it */
    struct initramfs initramfs; /* may be empty */
    const struct mailbox_content *mailbox; /* NULL: no mailbox is written */
    const struct machine_devices *devices; /* NULL: none */
    int console_fd; /* where the console's output goes; not owned, not closed */
    /* It goes to devices->ports.stdout_fd instead, once init has said hello without having opened
     * the ports: then the console carries the workload's streams. */
    bool console_moves;
};

struct machine {
    struct vm *vm;
    struct writer *console; /* the host side of the console's UART */
    struct serial *uart;    /* the console's UART */
    struct control_port *control;
    struct debug_exit debug_exit;
    struct i8042 i8042;
    struct cmos cmos;
    struct loop *loop; /* serves the virtio devices */
    unsigned slot_count;
    struct virtio_slot slots[ARCH_VIRTIO_MAX];
    struct virtio_device *ports; /* one of them: the standard streams; NULL: none */
    int streams_fd;              /* where the console goes when it carries them; -1: it stays */
    bool greeted;                /* hello was seen; on the control port's side */
    bool has_mailbox;            /* the guest was given one */
    bool output_waits;           /* for its reader, at the last machine_pause() */
    int news_fd; /* eventfd: the control port heard something, see machine_observe() */
    int room_fd; /* eventfd: the console can take input again */
};

/* Builds the VM and its devices and loads the guest. Nothing runs yet. */
int machine_create(const struct machine_config *config, struct machine **out,
                   struct thaw_error *err);

/* Stops the guest if it runs, and frees everything. NULL is allowed. */
void machine_destroy(struct machine *machine);

/* The devices have taken the state of a snapshot whose init, of this version, had said hello. */
void machine_adopt(struct machine *machine, const char *version);

int machine_start(struct machine *machine, struct thaw_error *err);

/*
 * Stops the guest where its state is whole: the vCPUs, then what they have left in the queues is
 * served and the output written (for which up to about `timeout_ms` is waited), then the devices.
 * What is in flight even so, machine_in_flight() tells. -ESHUTDOWN: the guest has ended.
 * machine_resume() goes on.
 */
int machine_pause(struct machine *machine, unsigned timeout_ms, struct thaw_error *err);
int machine_resume(struct machine *machine, struct thaw_error *err);

/* Of a machine that is paused, or whose guest is: where something is in flight that a snapshot
 * would lose, for people; NULL: nowhere. Static. */
const char *machine_in_flight(struct machine *machine);

/* A number that is another one when a driver has done anything to a virtio device (virtio_asked()).
 * As long as it is the same, a paused machine whose vCPUs alone were let go (vm_resume()) has not
 * written to its guest's memory. */
uint64_t machine_asked(struct machine *machine);

/* Takes what the control port has heard. Call it when news_fd is readable; it empties news_fd.
 * (That the workload is over ends the VM by itself, with VM_END_WORKLOAD.) */
void machine_observe(struct machine *machine, struct guest_observation *seen);

/* Whether the workload's standard streams are on the console and not on ports of their own. Known
 * once hello has been observed. */
bool machine_streams_on_console(struct machine *machine);

/* Waits until all output that the guest has given is written or discarded, for at most about
 * `timeout_ms` each. Returns whether it is. Stop the vCPUs first. */
bool machine_flush(struct machine *machine, unsigned timeout_ms);

/* Of a paused machine: from now on what the guest says is discarded, the workload's output and the
 * console. For good. */
void machine_mute(struct machine *machine);

/* errno of the first output that could not be written; 0 when none. A reader that went away (EPIPE)
 * does not count: it has had what it wanted. */
int machine_output_error(struct machine *machine);

/* Offers console input; returns how many bytes were taken (0 to size). When fewer than offered,
 * room_fd becomes readable once there is room. */
size_t machine_input(struct machine *machine, const void *bytes, size_t size);

static inline void machine_cleanup(struct machine **machine)
{
    machine_destroy(*machine);
}
#define cleanup_machine cleanup(machine_cleanup)

#endif

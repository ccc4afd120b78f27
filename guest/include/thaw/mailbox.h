/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mailbox: one 64 KiB guest-physical window that the monitor writes while the guest is
 * stopped (or not yet started) and init reads. It is RAM of the low memslot that the e820 map
 * does not offer to the kernel; init maps it through /dev/mem, cached.
 *
 * Rule for readers: copy the header out once, check the copy (magic, version, length, XXH3),
 * and only then look at what follows. Both sides treat the window as hostile.
 */
#ifndef THAW_MAILBOX_H
#define THAW_MAILBOX_H

#include <stdint.h>

#define THAW_MAILBOX_GPA     0xd0000u
#define THAW_MAILBOX_SIZE    0x10000u
#define THAW_MAILBOX_MAGIC   0x584f424d57414854ull /* "THAWMBOX" */
#define THAW_MAILBOX_VERSION 1u

/* Largest stdin payload that rides in the mailbox; more goes over the stdin stream. */
#define THAW_MAILBOX_STDIN_MAX (48u * 1024u)

enum thaw_mailbox_flags {
    THAW_MAILBOX_HOLD = 1u << 0, /* send workload-pre-exec, then block reading the control port */
    THAW_MAILBOX_TIME = 1u << 1, /* wall_clock_ns is set: clock_settime before the workload */
    THAW_MAILBOX_ENTROPY = 1u << 2, /* entropy is set: RNDADDENTROPY, RNDRESEEDCRNG, then zero it */
    THAW_MAILBOX_INVOKE = 1u << 3,  /* argv replaces process.args (when argc > 0), env adds to it */
    THAW_MAILBOX_STDIN = 1u << 4,   /* stdin_len bytes are the workload's whole stdin */
    THAW_MAILBOX_HEARTBEAT = 1u << 5, /* send heartbeat every heartbeat_ms, from hello on */
    THAW_MAILBOX_LISTENER = 1u << 6,  /* watch for listeners: send listener and no-listener */
};

/*
 * Offsets in the window. The body follows the header: body_len bytes, covered by checksum
 * together with the header (its checksum field taken as zero). Strings in the body are
 * NUL-terminated; the body is, in this order:
 *   argc strings, envc strings ("KEY=value"), then stdin_len raw bytes.
 */
struct thaw_mailbox_header {
    uint64_t magic;
    uint32_t version;
    uint32_t flags;
    uint64_t checksum; /* XXH3-64 of header (this field 0) and body */
    uint32_t body_len; /* bytes after this header, at most size - header */
    uint32_t argc;
    uint32_t envc;
    uint32_t stdin_len;
    uint8_t generation[16]; /* new random bits for every boot and every restore */
    uint64_t wall_clock_ns; /* CLOCK_REALTIME at the moment of writing */
    uint8_t entropy[64];
    char hostname[65];   /* empty: keep; NUL-terminated */
    uint8_t mac[6];      /* all zero: keep */
    uint8_t ipv4_prefix; /* 0: no IPv4 settings */
    uint8_t ipv4[4];
    uint8_t ipv4_gateway[4]; /* all zero: none */
    uint32_t heartbeat_ms;   /* with THAW_MAILBOX_HEARTBEAT: the period, 1 to 60000 */
    uint8_t reserved[44];
};

/*
 * The last 64 bytes of the window belong to the guest: init stores marks here instead of
 * sending lines, which costs no exit. The monitor reads them, and trusts them for nothing but
 * reporting.
 */
#define THAW_MAILBOX_REPORT_OFFSET (THAW_MAILBOX_SIZE - 64u)
struct thaw_mailbox_report {
    uint64_t resumed_ns;       /* CLOCK_MONOTONIC when the doorbell was read */
    uint64_t exec_ns;          /* CLOCK_MONOTONIC just before the workload was let go */
    uint64_t exec_realtime_ns; /* CLOCK_REALTIME at the same moment */
    uint64_t reserved[5];
};

_Static_assert(sizeof(struct thaw_mailbox_header) == 256, "the mailbox header is 256 bytes");
_Static_assert(sizeof(struct thaw_mailbox_report) == 64, "the report is 64 bytes");

/* What the header and the report leave for the body. */
#define THAW_MAILBOX_BODY_MAX (THAW_MAILBOX_REPORT_OFFSET - 256u)

#endif

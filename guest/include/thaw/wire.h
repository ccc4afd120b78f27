/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire between the monitor and the guest's init: what both sides include, and nothing else.
 *
 * Every structure here is little-endian, naturally aligned and free of implicit padding. A
 * change that an older reader would misread raises the version of the thing that changed.
 */
#ifndef THAW_WIRE_H
#define THAW_WIRE_H

/* UARTs as Linux numbers them: ttyS0 is the console, ttyS1 the control port. */
#define THAW_CONSOLE_TTY "/dev/ttyS0"
#define THAW_CONTROL_TTY "/dev/ttyS1"

/* The ports of a virtio console that carry the workload's standard streams: the names that Linux
 * shows in /sys/class/virtio-ports/<port>/name. A guest without the device uses the console. */
#define THAW_PORT_STDIN  "thaw.stdin"
#define THAW_PORT_STDOUT "thaw.stdout"
#define THAW_PORT_STDERR "thaw.stderr"

/* Longest control line, newline excluded. A longer one is counted and dropped. */
#define THAW_CONTROL_LINE_MAX 256

/*
 * Guest to monitor. One line each, ASCII, ending in '\n'; fields follow as ` key=value`.
 * docs/protocol.md says when each is sent.
 */
#define THAW_MSG_HELLO       "hello"     /* hello init-oci <version>: console is raw and read */
#define THAW_MSG_HEARTBEAT   "heartbeat" /* counter=<n> */
#define THAW_MSG_LISTENER    "listener"  /* proto=tcp port=<n> */
#define THAW_MSG_PRE_EXEC    "workload-pre-exec" /* no fields */
#define THAW_MSG_QUIESCED    "quiesced"          /* seq=<n> */
#define THAW_MSG_EXEC        "workload-exec"     /* no fields */
#define THAW_MSG_NO_LISTENER "no-listener"       /* no fields */
#define THAW_MSG_EXIT        "workload-exit"     /* status=<0..255> */
#define THAW_MSG_FAILED      "init-failed" /* reason=<rest of the line>: the workload never ran */

/*
 * Monitor to guest. A doorbell is one byte, THAW_DOORBELL, outside any line: it starts no line
 * and needs no newline. Everything else is a line as above.
 */
#define THAW_DOORBELL '!'

/*
 * The one argument with which init, started as the workload, does nothing and waits. After a
 * snapshot at pre-exec the monitor lets the guest go with that, to see which pages of memory the
 * way to the first instruction of a workload writes.
 */
#define THAW_INIT_REHEARSE "rehearse"

#define THAW_REQ_QUIESCE   "quiesce"   /* seq=<n> */
#define THAW_REQ_SIGNAL    "signal"    /* number=<n>: to the workload's first process */
#define THAW_REQ_STDIN_EOF "stdin-eof" /* bytes=<n>: close stdin after n bytes in all */
#define THAW_REQ_WINSIZE   "winsize"   /* rows=<n> cols=<n> */

#endif

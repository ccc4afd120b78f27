/* SPDX-License-Identifier: Apache-2.0 */
/* Where `thaw bench` was run: without it, its figures say nothing. */
#ifndef THAW_CLI_BENCH_HOST_H
#define THAW_CLI_BENCH_HOST_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/utsname.h>

struct bench_host {
    const char *kind; /* as thaw doctor has it: "hardware", "pvm", "none" */
    bool virtual;     /* this host is a virtual machine itself */
    struct utsname system;
    char cpu[128]; /* "": not known */
    long cpus;
    double load; /* the last minute's average */
};

struct bench_host bench_host_look(void);

/* On one line. The caller frees it; NULL: no memory. */
char *bench_host_text(const struct bench_host *host);

/* {"kind", "virtual", "kernel", "machine", "cpu", "cpus", "load"}; cpu is null when not known. */
json_t *bench_host_json(const struct bench_host *host);

#endif

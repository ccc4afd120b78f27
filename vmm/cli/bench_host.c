/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/bench_host.h"

#include "vmm/base/cleanup.h"
#include "vmm/base/kvm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of a line "key : value" of /proc/cpuinfo. */
static void take_line(struct bench_host *host, char *line)
{
    char *colon = strchr(line, ':');
    if (!colon)
        return;
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "model name", strlen("model name")) == 0)
        snprintf(host->cpu, sizeof(host->cpu), "%s", colon + 1 + strspn(colon + 1, " "));
    else if (strncmp(line, "flags", strlen("flags")) == 0)
        host->virtual = strstr(colon, " hypervisor") != NULL;
}

/* The first processor stands for all. */
static void look_at_cpu(struct bench_host *host)
{
    cleanup_fclose FILE *f = fopen("/proc/cpuinfo", "re");
    cleanup_free char *line = NULL;
    size_t capacity = 0;
    while (f && getline(&line, &capacity, f) > 1)
        take_line(host, line);
}

struct bench_host bench_host_look(void)
{
    struct bench_host host = {.kind = kvm_host_kind_name(kvm_host_kind()),
                              .cpus = sysconf(_SC_NPROCESSORS_ONLN)};
    (void)uname(&host.system);
    look_at_cpu(&host);
    if (getloadavg(&host.load, 1) != 1)
        host.load = 0;
    return host;
}

char *bench_host_text(const struct bench_host *host)
{
    char *text;
    int n =
        asprintf(&text, "%s %s, KVM %s%s, %s, %ld CPUs, load %.2f", host->system.sysname,
                 host->system.release, host->kind, host->virtual ? " (in a virtual machine)" : "",
                 host->cpu[0] ? host->cpu : host->system.machine, host->cpus, host->load);
    return n < 0 ? NULL : text;
}

json_t *bench_host_json(const struct bench_host *host)
{
    return json_pack("{s:s, s:b, s:s, s:s, s:s?, s:i, s:f}", "kind", host->kind, "virtual",
                     host->virtual, "kernel", host->system.release, "machine", host->system.machine,
                     "cpu", host->cpu[0] ? host->cpu : NULL, "cpus", (int)host->cpus, "load",
                     host->load);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map of perf(1): a line "START SIZE name" for each function, numbers in hex.
 *
 * The name of the file is known to everybody and /tmp is everybody's, so the file must be a plain
 * one of our own: perf believes it only then, too.
 */
#include "guest/jitvm/jit/perf.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/jitvm/jitvm.h"

/* perf takes the rest of the line as the name: it must stay on it. */
static void keep_on_a_line(char *name)
{
    for (char *c = name; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = '?';
}

static bool is_ours(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_nlink == 1;
}

/* O_NONBLOCK: a pipe under that name must not hold us up. */
static int open_map(void)
{
    char path[48];
    (void)snprintf(path, sizeof(path), "/tmp/perf-%ld.map", (long)getpid());
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd >= 0 && !is_ours(fd)) {
        close(fd);
        return -1;
    }
    return fd;
}

int jit_perf_add(const void *code, size_t len, const char *name)
{
    char line[256], clean[200];
    (void)snprintf(clean, sizeof(clean), "%s", name);
    keep_on_a_line(clean);
    int size = snprintf(line, sizeof(line), "%llx %zx %s\n", (unsigned long long)(uintptr_t)code,
                        len, clean);
    int fd = open_map();
    if (fd < 0)
        return JITVM_ERR_IO;
    /* In one piece, as other VMs of the process append to the same file. */
    ssize_t written = write(fd, line, (size_t)size);
    close(fd);
    return written == size ? 0 : JITVM_ERR_IO;
}

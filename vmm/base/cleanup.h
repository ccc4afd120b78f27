/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cleanup attributes: a resource is freed where its variable's scope ends, on every path.
 * take() moves a pointer out of such a variable, take_fd() a descriptor.
 */
#ifndef THAW_BASE_CLEANUP_H
#define THAW_BASE_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define cleanup(fn) __attribute__((cleanup(fn)))

static inline void cleanup_free_fn(void *p)
{
    free(*(void **)p);
}

static inline void cleanup_close_fn(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void cleanup_fclose_fn(FILE **f)
{
    if (*f)
        fclose(*f);
}

static inline void cleanup_closedir_fn(DIR **d)
{
    if (*d)
        closedir(*d);
}

#define cleanup_free     cleanup(cleanup_free_fn)
#define cleanup_close    cleanup(cleanup_close_fn)
#define cleanup_fclose   cleanup(cleanup_fclose_fn)
#define cleanup_closedir cleanup(cleanup_closedir_fn)

#define take(p)                                                                                    \
    __extension__({                                                                                \
        __typeof__(p) taken_ = (p);                                                                \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })

static inline int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

#endif

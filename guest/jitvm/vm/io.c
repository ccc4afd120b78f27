/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program prints and reads, buffered. Without functions of the host's (vm.io.write, .read),
 * it is the descriptors 1 and 0, not stdio: start-up costs nothing, and what was read ahead can be
 * handed out whole.
 */
#include "guest/jitvm/vm/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUT_ROOM ((size_t)8 << 10)
#define IN_ROOM  ((size_t)64 << 10) /* read at once; a line may be longer */

/* ---- writing -------------------------------------------------------------------------------- */

int io_write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

static int write_through(struct jitvm *vm, const char *bytes, size_t len)
{
    if (len == 0)
        return 0;
    struct vm_io *io = &vm->io;
    errno = 0;
    int rc = io->write ? io->write(io->write_context, bytes, len)
                       : io_write_all(STDOUT_FILENO, bytes, len);
    if (rc == 0)
        return 0;
    int why = errno;
    return jitvm_raise(vm, JITVM_ERR_IO, "output: %s", why ? strerror(why) : "failed");
}

int vm_flush(struct jitvm *vm)
{
    /* What cannot be written is dropped, so that it fails once and not at each later flush. */
    size_t len = vm->io.out_len;
    vm->io.out_len = 0;
    return write_through(vm, vm->io.out, len);
}

int vm_write(struct jitvm *vm, const void *bytes, size_t len)
{
    struct vm_io *io = &vm->io;
    if (len > OUT_ROOM - io->out_len) {
        int rc = vm_flush(vm);
        if (rc < 0)
            return rc;
    }
    if (len >= OUT_ROOM)
        return write_through(vm, bytes, len);
    if (!io->out && !(io->out = malloc(OUT_ROOM)))
        return jitvm_raise(vm, JITVM_ERR_MEMORY, "output: no memory");
    if (len > 0)
        memcpy(io->out + io->out_len, bytes, len);
    io->out_len += len;
    return 0;
}

int vm_write_error(struct jitvm *vm, const void *bytes, size_t len)
{
    int rc = vm_flush(vm);
    if (rc < 0)
        return rc;
    if (io_write_all(STDERR_FILENO, bytes, len) < 0)
        return jitvm_raise(vm, JITVM_ERR_IO, "stderr: %s", strerror(errno));
    return 0;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* Makes room for IN_ROOM bytes more behind in_len. What one read hands out is bounded like all that
 * a program can make grow: by the heap's limit. */
static int input_room(struct jitvm *vm)
{
    struct vm_io *io = &vm->io;
    if (io->in_at > 0) {
        memmove(io->in, io->in + io->in_at, io->in_len - io->in_at);
        io->in_len -= io->in_at;
        io->in_at = 0;
    }
    if (io->in_room - io->in_len >= IN_ROOM)
        return 0;
    if (io->in_len > STR_MAX || io->in_len > vm->heap.limit)
        return jitvm_raise(vm, JITVM_ERR_HEAP, "input: longer than the heap may be");
    size_t room = io->in_len + io->in_len / 2 + IN_ROOM;
    char *in = realloc(io->in, room);
    if (!in)
        return jitvm_raise(vm, JITVM_ERR_MEMORY, "input: no memory");
    io->in = in;
    io->in_room = room;
    return 0;
}

static ptrdiff_t read_once(struct jitvm *vm, char *bytes, size_t len)
{
    if (vm->io.read)
        return vm->io.read(vm->io.read_context, bytes, len);
    for (;;) {
        /* A program that waits for input makes no back edges. */
        if (atomic_exchange(&vm->interrupted, false))
            return jitvm_raise(vm, JITVM_ERR_INTERRUPTED, "interrupted");
        ssize_t n = read(STDIN_FILENO, bytes, len);
        if (n >= 0 || errno != EINTR)
            return n;
    }
}

/* Reads some more; at the end of input sets in_end. */
static int input_more(struct jitvm *vm)
{
    struct vm_io *io = &vm->io;
    int rc = vm_flush(vm); /* A question is seen before its answer is waited for. */
    if (rc == 0)
        rc = input_room(vm);
    if (rc < 0)
        return rc;
    errno = 0;
    size_t room = io->in_room - io->in_len;
    ptrdiff_t n = read_once(vm, io->in + io->in_len, room);
    if (n < 0 && vm->error.status != JITVM_OK)
        return vm->error.status;
    if (n < 0 || (size_t)n > room)
        return jitvm_raise(vm, JITVM_ERR_IO, "input: %s", errno ? strerror(errno) : "failed");
    io->in_len += (size_t)n;
    io->in_end = n == 0;
    return 0;
}

static void hand_out(struct vm_io *io, size_t n, const char **bytes, size_t *len)
{
    *bytes = n ? io->in + io->in_at : NULL;
    *len = n;
    io->in_at += n;
}

int vm_read_line(struct jitvm *vm, const char **line, size_t *len)
{
    struct vm_io *io = &vm->io;
    size_t seen = 0; /* bytes from in_at on that hold no newline */
    for (;;) {
        size_t have = io->in_len - io->in_at;
        const char *from = have > seen ? io->in + io->in_at : NULL;
        const char *end = from ? memchr(from + seen, '\n', have - seen) : NULL;
        if (end || io->in_end) {
            hand_out(io, end ? (size_t)(end - from) + 1 : have, line, len);
            return 0;
        }
        seen = have;
        int rc = input_more(vm);
        if (rc < 0)
            return rc;
    }
}

int vm_read_all(struct jitvm *vm, const char **bytes, size_t *len)
{
    while (!vm->io.in_end) {
        int rc = input_more(vm);
        if (rc < 0)
            return rc;
    }
    hand_out(&vm->io, vm->io.in_len - vm->io.in_at, bytes, len);
    return 0;
}

void vm_io_free(struct jitvm *vm)
{
    free(vm->io.out);
    free(vm->io.in);
    vm->io.out = vm->io.in = NULL;
    vm->io.out_len = vm->io.in_at = vm->io.in_len = vm->io.in_room = 0;
}

void jitvm_set_output(struct jitvm *vm, jitvm_write_fn write, void *context)
{
    /* What was printed before goes where it was printed to. There is nobody to tell of a failure.
     */
    (void)vm_flush(vm);
    vm->io.write = write;
    vm->io.write_context = context;
}

void jitvm_set_input(struct jitvm *vm, jitvm_read_fn read, void *context)
{
    vm->io.read = read;
    vm->io.read_context = context;
    vm->io.in_at = vm->io.in_len = 0;
    vm->io.in_end = false;
}

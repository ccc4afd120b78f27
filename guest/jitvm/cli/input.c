/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a file whole, and making a chunk of it. */
#include "guest/jitvm/cli/input.h"

#include "guest/jitvm/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_MAX ((size_t)1 << 30) /* far above what a chunk can hold */

struct bytes {
    char *data;
    size_t len, room;
};

bool input_kind_parse(const char *text, enum input_kind *out)
{
    static const char *const names[] = {
        [INPUT_JV] = "jv", [INPUT_JASM] = "jasm", [INPUT_JVC] = "jvc"};
    for (int kind = INPUT_JV; kind <= INPUT_JVC; kind++) {
        if (strcmp(text, names[kind]) == 0) {
            *out = (enum input_kind)kind;
            return true;
        }
    }
    return false;
}

const char *input_name(const char *path)
{
    return input_is_stdin(path) ? "stdin" : path;
}

bool input_is_stdin(const char *path)
{
    return strcmp(path, "-") == 0;
}

static enum input_kind kind_of(const char *path, enum input_kind stdin_kind)
{
    if (input_is_stdin(path))
        return stdin_kind;
    const char *dot = strrchr(path, '.');
    enum input_kind kind;
    return dot && input_kind_parse(dot + 1, &kind) ? kind : INPUT_BY_NAME;
}

/* ---- reading -------------------------------------------------------------------------------- */

static int make_room(struct bytes *bytes, size_t more)
{
    if (bytes->room - bytes->len >= more)
        return 0;
    if (bytes->len > INPUT_MAX)
        return errno = EFBIG, -1;
    size_t room = bytes->len + bytes->len / 2 + more;
    char *data = realloc(bytes->data, room);
    if (!data)
        return -1;
    bytes->data = data;
    bytes->room = room;
    return 0;
}

static int read_rest(int fd, struct bytes *bytes)
{
    for (;;) {
        if (make_room(bytes, 4096) < 0)
            return -1;
        ssize_t n = read(fd, bytes->data + bytes->len, bytes->room - bytes->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return (int)n;
        bytes->len += (size_t)n;
    }
}

static int read_file(const char *path, struct bytes *bytes)
{
    bool is_stdin = input_is_stdin(path);
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    struct stat st;
    int rc = 0;
    /* One byte more than there is, so that the end is seen without growing. */
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size < INPUT_MAX)
        rc = make_room(bytes, (size_t)st.st_size + 4097);
    if (rc == 0)
        rc = read_rest(fd, bytes);
    int why = errno;
    if (!is_stdin)
        close(fd);
    errno = why;
    return rc;
}

/* ---- a chunk -------------------------------------------------------------------------------- */

static int make_chunk(const char *name, enum input_kind kind, const struct bytes *bytes,
                      struct jitvm_chunk **out, struct jitvm_error *err)
{
    switch (kind) {
    case INPUT_JASM:
        return jitvm_assemble(name, bytes->data, bytes->len, out, err);
    case INPUT_JVC:
        return jitvm_chunk_read(bytes->data, bytes->len, out, err);
    default:
        return jitvm_compile(name, bytes->data, bytes->len, out, err);
    }
}

int input_load(const char *verb, const char *path, enum input_kind kind, enum input_kind stdin_kind,
               struct jitvm_chunk **out)
{
    if (kind == INPUT_BY_NAME)
        kind = kind_of(path, stdin_kind);
    if (kind == INPUT_BY_NAME)
        return cli_usage(verb, "%s: neither .jv, .jasm nor .jvc: say which with --as",
                         input_name(path));
    struct bytes bytes = {NULL, 0, 0};
    struct jitvm_error err;
    int status;
    if (read_file(path, &bytes) < 0)
        status = cli_fail(JITVM_ERR_IO, "%s: %s", input_name(path), strerror(errno));
    else if (make_chunk(input_name(path), kind, &bytes, out, &err) < 0)
        status = cli_report(input_name(path), &err);
    else
        status = CLI_OK;
    free(bytes.data);
    return status;
}

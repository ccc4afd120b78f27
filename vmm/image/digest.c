/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/image/digest.h"

#include "vmm/base/cleanup.h"
#include "vmm/base/file.h"
#include "vmm/image/interrupt.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PREFIX    "sha256:"
#define READ_SIZE (64u << 10)

static int hex_value(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

int digest_parse_hex(const char *hex, struct digest *digest)
{
    if (strlen(hex) != DIGEST_HEX_SIZE - 1)
        return -EINVAL;
    for (size_t i = 0; i < sizeof(digest->bytes); i++) {
        int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return -EINVAL;
        digest->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

int digest_parse(const char *text, struct digest *digest)
{
    if (strncmp(text, PREFIX, strlen(PREFIX)) == 0)
        return digest_parse_hex(text + strlen(PREFIX), digest);
    return strchr(text, ':') ? -ENOTSUP : -EINVAL;
}

void digest_hex(const struct digest *digest, char hex[DIGEST_HEX_SIZE])
{
    for (size_t i = 0; i < sizeof(digest->bytes); i++)
        snprintf(hex + 2 * i, 3, "%02x", digest->bytes[i]);
}

void digest_text(const struct digest *digest, char text[DIGEST_TEXT_SIZE])
{
    char hex[DIGEST_HEX_SIZE];
    digest_hex(digest, hex);
    snprintf(text, DIGEST_TEXT_SIZE, PREFIX "%s", hex);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

void digest_of(const void *data, size_t size, struct digest *digest)
{
    struct sha256_ctx context;
    sha256_init(&context);
    sha256_update(&context, size, data);
    sha256_digest(&context, sizeof(digest->bytes), digest->bytes);
}

int digest_file(const char *path, struct digest *digest, uint64_t *size, struct thaw_error *err)
{
    cleanup_close int fd = file_open_regular(path, THAW_FAIL_IMAGE, size, err);
    if (fd < 0)
        return fd;
    uint8_t buffer[READ_SIZE];
    struct sha256_ctx context;
    sha256_init(&context);
    *size = 0;
    for (;;) {
        int rc = interrupt_check(err);
        if (rc < 0)
            return rc;
        ssize_t n = read(fd, buffer, READ_SIZE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return thaw_fail_io(err, errno, "%s", path);
        if (n == 0)
            break;
        sha256_update(&context, (size_t)n, buffer);
        *size += (uint64_t)n;
    }
    sha256_digest(&context, sizeof(digest->bytes), digest->bytes);
    return 0;
}

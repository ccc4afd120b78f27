/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 digests as OCI writes them: "sha256:" and 64 lower-case hexadecimal digits. */
#ifndef THAW_IMAGE_DIGEST_H
#define THAW_IMAGE_DIGEST_H

#include "vmm/base/error.h"

#include <nettle/sha2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_HEX_SIZE  (2 * SHA256_DIGEST_SIZE + 1)
#define DIGEST_TEXT_SIZE (sizeof("sha256:") - 1 + DIGEST_HEX_SIZE)

struct digest {
    uint8_t bytes[SHA256_DIGEST_SIZE];
};

/* Reads "sha256:<hex>". -EINVAL when malformed, -ENOTSUP for another algorithm. */
int digest_parse(const char *text, struct digest *digest);

/* The same for the 64 digits alone. */
int digest_parse_hex(const char *hex, struct digest *digest);

void digest_hex(const struct digest *digest, char hex[DIGEST_HEX_SIZE]);
void digest_text(const struct digest *digest, char text[DIGEST_TEXT_SIZE]);

bool digest_equal(const struct digest *a, const struct digest *b);

void digest_of(const void *data, size_t size, struct digest *digest);

/* Digest and size in bytes of all that `path`, a regular file, holds. Signals that
 * interrupt_check() knows end it. */
int digest_file(const char *path, struct digest *digest, uint64_t *size, struct thaw_error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The .jvc form: little-endian, nothing aligned, nothing optional, so that a chunk has one form.
 *
 *   header   "\x7fJVC\r\n\x1a\n", u32 version, u32 flags, u64 ABI hash, 16 bytes identity
 *   sections each u32 tag, u64 length in bytes, contents; all of them, in this order:
 *   SRCE     the name of the source
 *   NAME     u32 count, then each u32 length and bytes
 *   CNST     u32 count, then each u8 kind and 8 bytes, or u8 kind, u32 length and bytes of a str
 *   EXTN     u32 count, then each u32 name, u8 pops, u8 pushes
 *   FUNC     u32 count, then each u32 name, u32 ops, u16 arity, u16 slots, u8 has slot names
 *   SLOT     u32 count, then names: u32 each
 *   CODE     u32 count, then each u16 code, u16 a, u32 b, u32 c, u64 imm
 *   LINE     u32 count, then each u32 op, u32 line
 *
 * The identity is XXH3-128, big-endian, of all bytes of the file but its own sixteen. With the ABI
 * hash in the header, a file of another list of ops has another identity.
 */
#ifndef JITVM_CHUNK_JVC_H
#define JITVM_CHUNK_JVC_H

#include "guest/jitvm/chunk/chunk.h"

#define JVC_MAGIC       "\x7fJVC\r\n\x1a\n"
#define JVC_MAGIC_SIZE  8u
#define JVC_VERSION     1u
#define JVC_FLAGS_AT    12u
#define JVC_ABI_AT      16u
#define JVC_IDENTITY_AT 24u
#define JVC_HEADER_SIZE 40u

enum jvc_section { JVC_SRCE, JVC_NAME, JVC_CNST, JVC_EXTN, JVC_FUNC, JVC_SLOT, JVC_CODE, JVC_LINE };
#define JVC_SECTIONS 8
uint32_t jvc_tag(enum jvc_section section);

/* Puts this build's ABI hash and the identity into the header of `len` >= JVC_HEADER_SIZE bytes:
 * the writer's last step; tests and fuzzers make damage with it that gets past the checksum. */
void jvc_seal(uint8_t *bytes, size_t len);
void jvc_identity(const uint8_t *bytes, size_t len, uint8_t out[16]);

#endif

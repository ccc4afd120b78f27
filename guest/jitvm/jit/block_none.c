/* SPDX-License-Identifier: Apache-2.0 */
/* Where there is no code generator for the processor: everything is interpreted. */
#include "guest/jitvm/jit/internal.h"

#ifndef __x86_64__

const struct places *arch_places(void)
{
    return NULL;
}

uint32_t arch_features(void)
{
    return 0;
}

int arch_stubs(struct assembler *a, uint32_t offsets[JIT_HELPERS])
{
    (void)a;
    (void)offsets;
    return JITVM_ERR_HOST;
}

int arch_compile(struct jit *jit, struct jit_version *version, struct flow *f)
{
    (void)jit;
    (void)version;
    (void)f;
    return JITVM_ERR_HOST;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/arch/arch.h"

#include <immintrin.h>

typedef uint64_t vector __attribute__((vector_size(16)));

__attribute__((target("avx2"))) static bool is_zero_avx2(const void *page)
{
    const __m256i_u *at = page;
    for (unsigned i = 0; i < GUEST_PAGE_SIZE / sizeof(*at); i += 4) {
        __m256i any = (at[i] | at[i + 1]) | (at[i + 2] | at[i + 3]);
        if (!_mm256_testz_si256(any, any))
            return false;
    }
    return true;
}

static bool is_zero_sse2(const void *page)
{
    const vector *at = __builtin_assume_aligned(page, sizeof(vector));
    for (unsigned i = 0; i < GUEST_PAGE_SIZE / sizeof(vector); i += 8) {
        vector any = (at[i] | at[i + 1]) | (at[i + 2] | at[i + 3]) | (at[i + 4] | at[i + 5]) |
                     (at[i + 6] | at[i + 7]);
        if (any[0] | any[1])
            return false;
    }
    return true;
}

bool arch_page_is_zero(const void *page)
{
    /* Nearly every page that is not zero shows it in its first word. */
    if (*(const uint64_t *)page != 0)
        return false;
    return __builtin_cpu_supports("avx2") ? is_zero_avx2(page) : is_zero_sse2(page);
}

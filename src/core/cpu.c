/* SPDX-License-Identifier: BSD-3-Clause */
/* What this CPU can run: the x86-64 levels v3 (AVX2, FMA) and v4 (AVX-512). */
#include <stdatomic.h>

#include "core.h"

#ifdef XN_X86
#include <cpuid.h>

/* What belongs to v3 beside AVX2, and has no name in the __builtin_cpu_supports of every compiler. Virtual machines may
 * hide one of these alone; LZCNT would then not even fail, but count from the other end. */
static int has_small_parts(void) {
    enum { MOVBE = 1 << 22, F16C = 1 << 29, LZCNT = 1 << 5 };
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & MOVBE) || !(ecx & F16C)) return 0;
    return __get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) && (ecx & LZCNT);
}
#endif

static int find_level(void) {
#ifdef XN_X86
    __builtin_cpu_init();
    const int v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                   __builtin_cpu_supports("bmi2") && has_small_parts();
    const int v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                   __builtin_cpu_supports("avx512vl");
    if (v4) return XN_LEVEL_AVX512;
    if (v3) return XN_LEVEL_AVX2;
#endif
    return XN_LEVEL_BASELINE;
}

/* Asked once: in a virtual machine the question takes as long as a small problem. */
int xn_cpu_level(void) {
    static atomic_int known; /* the level + 1 */
    if (atomic_load_explicit(&known, memory_order_relaxed) == 0)
        atomic_store_explicit(&known, find_level() + 1, memory_order_relaxed);
    return atomic_load_explicit(&known, memory_order_relaxed) - 1;
}

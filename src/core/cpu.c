/* SPDX-License-Identifier: BSD-3-Clause */
/* What this CPU can run: the x86-64 levels v3 (AVX2, FMA) and v4 (AVX-512). */
#include "core.h"

int xn_cpu_level(void) {
#ifdef XN_X86
    __builtin_cpu_init();
    const int v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                   __builtin_cpu_supports("bmi2");
    const int v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                   __builtin_cpu_supports("avx512vl");
    if (v4) return XN_LEVEL_AVX512;
    if (v3) return XN_LEVEL_AVX2;
#endif
    return XN_LEVEL_BASELINE;
}

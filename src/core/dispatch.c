/* SPDX-License-Identifier: BSD-3-Clause */
/* From the CPU's level to a table of kernels, and the override. */
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "core.h"

_Static_assert((int)XN_TYPES == (int)XN_DTYPES, "kernels.c has one kernel for each xn_dtype");

static const struct {
    int level;
    const xn_kernel_table *table;
} levels[] = {
#ifdef XN_X86
    {XN_LEVEL_AVX512, &xn_kernels_avx512},
    {XN_LEVEL_AVX2, &xn_kernels_avx2},
#endif
    {XN_LEVEL_BASELINE, &xn_kernels_baseline},
};

enum { LEVELS = sizeof levels / sizeof levels[0] };

static _Atomic(const xn_kernel_table *) chosen;

static int is_complete(const xn_kernel_table *table) {
#define XN_KERNEL(name) \
    if (!table->name[0] || !table->name[1]) return 0;
#include "../kernels/kernels.def"
#undef XN_KERNEL
    return 1;
}

const char *xn_isa_name(int index) {
    return index >= 0 && index < LEVELS ? levels[index].table->isa : NULL;
}

int xn_isa_supported(int index) {
    return index >= 0 && index < LEVELS && levels[index].level <= xn_cpu_level() && is_complete(levels[index].table);
}

const char *xn_kernel_name(int index) {
    static const char *const names[] = {
#define XN_KERNEL(name) #name,
#include "../kernels/kernels.def"
#undef XN_KERNEL
    };
    return index >= 0 && index < (int)(sizeof names / sizeof names[0]) ? names[index] : NULL;
}

const xn_kernel_table *xn_kernels(void) {
    const xn_kernel_table *table = atomic_load_explicit(&chosen, memory_order_acquire);
    if (table) return table;
    int best = 0;
    while (!xn_isa_supported(best)) best++; /* the baseline always is */
    const xn_kernel_table *expected = NULL;
    atomic_compare_exchange_strong(&chosen, &expected, levels[best].table);
    return atomic_load_explicit(&chosen, memory_order_acquire);
}

const char *xn_isa(void) {
    return xn_kernels()->isa;
}

xn_status xn_set_isa(const char *name) {
    for (int i = 0; name && i < LEVELS; i++) {
        if (strcmp(name, levels[i].table->isa) != 0) continue;
        if (!xn_isa_supported(i)) return XN_UNSUPPORTED_ISA;
        atomic_store_explicit(&chosen, levels[i].table, memory_order_release);
        return XN_OK;
    }
    return XN_UNKNOWN_ISA;
}

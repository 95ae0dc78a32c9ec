/* SPDX-License-Identifier: BSD-3-Clause */
/* The rest of the C interface: xn_collapse against its definition, and names and numbers that there are not. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "fuzz.h"
#include "xent.h"

enum { MOST_DIMS = 6 };

__extension__ typedef __int128 wide;

/* Dimensions with more than one element must follow each other: each steps over all elements behind it. */
static int definition(int dims, const int64_t *shape, const int64_t *strides, int64_t *size, int64_t *stride) {
    wide total = 1;
    *size = *stride = 0;
    for (int i = 0; i < dims; i++)
        if (shape[i] < 0) return 0;
    for (int i = 0; i < dims; i++)
        if (shape[i] == 0) return 1;
    for (int i = dims - 1; i >= 0; i--) {
        if (shape[i] == 1) continue;
        if (total == 1) *stride = strides[i];
        if ((wide)strides[i] != *stride * total) return 0;
        total *= shape[i];
        if (total > INT64_MAX) return 0;
    }
    *size = (int64_t)total;
    return 1;
}

static void check_collapse(rng *r) {
    int64_t shape[MOST_DIMS], strides[MOST_DIMS], size = -1, stride = -1, wanted_size, wanted_stride;
    const int dims = (int)rng_int(r, -1, MOST_DIMS);
    uint64_t step = rng_chance(r, 90) ? (uint64_t)rng_int(r, -2, 3) : rng_bits(r);
    for (int i = dims - 1; i >= 0; i--) { /* mostly what C order has, times a factor */
        shape[i] = rng_chance(r, 90) ? rng_int(r, 0, 5) : (int64_t)rng_bits(r);
        strides[i] = rng_chance(r, 80) ? (int64_t)step : (int64_t)rng_bits(r);
        step *= (uint64_t)shape[i];
    }
    describe("xn_collapse of %d dimensions", dims);
    const int possible = definition(dims, shape, strides, &wanted_size, &wanted_stride);
    if (xn_collapse(dims, shape, strides, &size, &stride) != possible) fail("should be %d", possible);
    if (possible && size != wanted_size) fail("size %lld, not %lld", (long long)size, (long long)wanted_size);
    if (possible && size > 1 && stride != wanted_stride)
        fail("stride %lld, not %lld", (long long)stride, (long long)wanted_stride);
}

/* A name of the list, or any other; it is known if it is on the list. */
static void check_set_isa(rng *r) {
    char name[16];
    const int length = (int)rng_int(r, 0, (int)sizeof name - 1);
    const char *listed = rng_chance(r, 50) ? xn_isa_name((int)rng_int(r, 0, 3)) : NULL;
    for (int i = 0; i < length; i++) name[i] = (char)rng_int(r, 1, 255);
    name[length] = 0;
    if (listed) snprintf(name, sizeof name, "%s", listed);
    xn_status wanted = XN_UNKNOWN_ISA;
    for (int i = 0; xn_isa_name(i); i++)
        if (strcmp(name, xn_isa_name(i)) == 0) wanted = xn_isa_supported(i) ? XN_OK : XN_UNSUPPORTED_ISA;
    describe("the instruction set '%s'", name);
    if (xn_set_isa(name) != wanted) fail("should be %d", (int)wanted);
    if (wanted == XN_OK && strcmp(xn_isa(), name) != 0) fail("another one is chosen");
    if (xn_set_isa(NULL) != XN_UNKNOWN_ISA) fail("NULL is accepted");
}

void fuzz_interface(rng *r) {
    const int index = (int)(uint32_t)rng_bits(r);
    check_collapse(r);
    check_set_isa(r);
    describe("number %d", index);
    if (!xn_status_text((xn_status)index)) fail("no text");
    if (index < 0 && (xn_isa_name(index) || xn_kernel_name(index) || xn_isa_supported(index))) fail("a negative index");
    if (index > 99 && (xn_isa_name(index) || xn_kernel_name(index) || xn_isa_supported(index))) fail("a large index");
    if (xn_threads(index) < 1) fail("%d threads", xn_threads(index));
}

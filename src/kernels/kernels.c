/* SPDX-License-Identifier: BSD-3-Clause */
/* All kernels of one instruction set: compiled once per ISA, each template included once per type. */
#include "kernels.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "finish.h"
#include "limbs.h"

#if defined(__SSE2__)
#include <immintrin.h> /* streaming stores and float16, nothing else */
#endif

#define XN_REAL 32
#define XN_STORED XN_STORED_REAL
#include "templates.h"

#define XN_REAL 64
#define XN_STORED XN_STORED_REAL
#include "templates.h"

#define XN_REAL 32
#define XN_STORED XN_STORED_FLOAT16
#include "templates.h"

#define XN_REAL 32
#define XN_STORED XN_STORED_BFLOAT16
#include "templates.h"

#define XN_REAL 64
#define XN_STORED XN_STORED_FLOAT32_OUT
#include "templates.h"

#define XN_JOIN2(a, b) a##b
#define XN_JOIN(a, b) XN_JOIN2(a, b)
#define XN_TEXT2(a) #a
#define XN_TEXT(a) XN_TEXT2(a)

const xn_kernel_table XN_JOIN(xn_kernels_, XN_ISA) = {
    .isa = XN_TEXT(XN_ISA),
#define XN_KERNEL(name) .name = {name##_f32, name##_f64, name##_f16, name##_bf16, name##_f64_to_f32},
#include "kernels.def"
#undef XN_KERNEL
    .split = xn_split,
    .add_all = xn_add_all,
    .confidence_keys = xn_confidence_keys,
    .loss_keys = xn_loss_keys,
};

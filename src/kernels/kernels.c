/* SPDX-License-Identifier: BSD-3-Clause */
/* All kernels of one instruction set: compiled once per ISA, each template included once per compute type. */
#include "kernels.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "finish.h"

#define XN_REAL 32
#include "real.h"
#include "vmath.h"
#include "lanes.h"
#include "pack.h"
#include "stream.h"
#include "softmax_ce.h"
#include "softmax_ce_rows.h"
#include "softmax_ce_cols.h"
#include "prob_ce.h"
#include "prob_ce_cols.h"
#undef XN_REAL

#define XN_REAL 64
#include "real.h"
#include "vmath.h"
#include "lanes.h"
#include "pack.h"
#include "stream.h"
#include "softmax_ce.h"
#include "softmax_ce_rows.h"
#include "softmax_ce_cols.h"
#include "prob_ce.h"
#include "prob_ce_cols.h"
#undef XN_REAL

#define XN_JOIN2(a, b) a##b
#define XN_JOIN(a, b) XN_JOIN2(a, b)
#define XN_TEXT2(a) #a
#define XN_TEXT(a) XN_TEXT2(a)

const xn_kernel_table XN_JOIN(xn_kernels_, XN_ISA) = {
    .isa = XN_TEXT(XN_ISA),
#define XN_KERNEL(name) .name = {name##_f32, name##_f64},
#include "kernels.def"
#undef XN_KERNEL
};

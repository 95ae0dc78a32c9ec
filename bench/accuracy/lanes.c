/* SPDX-License-Identifier: BSD-3-Clause */
/* Compiled once per instruction set with the flags of the kernels: the one file of the sweep that knows how vmath.h
 * and finish.h are called. It includes itself, once per compute type. */
#ifndef XN_REAL
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "finish.h"
#include "lanes.h"

#include "kernels.h"

#define XN_STORED XN_STORED_REAL
#define XN_REAL 32
#include "lanes.c"
#undef XN_REAL
#define XN_REAL 64
#include "lanes.c"
#undef XN_REAL

static void log_label(double sum, const float *p, double *to, int count) {
#pragma omp simd
    for (int i = 0; i < count; i++) to[i] = xn_log_corrected((double)p[i] / sum, 0);
}

static void exp_negative(const double *d, double *to, int count) {
#pragma omp simd
    for (int i = 0; i < count; i++) to[i] = xn_exp_negative(d[i]);
}

static void log_of_one_more(const double *z, double *to, int count) {
#pragma omp simd
    for (int i = 0; i < count; i++) to[i] = xn_log1p(z[i]);
}

#define XN_JOIN2(a, b) a##b
#define XN_JOIN(a, b) XN_JOIN2(a, b)
#define XN_TEXT2(a) #a
#define XN_TEXT(a) XN_TEXT2(a)

const lane_table XN_JOIN(lanes_, XN_ISA) = {
    .isa = XN_TEXT(XN_ISA),
    .reference_f32 = reference_of_f32,
    .reference_f64 = reference_of_f64,
    .exp_f32 = exp_lanes_f32,
    .exp_f64 = exp_lanes_f64,
    .log_f32 = log_lanes_f32,
    .log_f64 = log_lanes_f64,
    .log_label = log_label,
    .exp_negative = exp_negative,
    .log1p = log_of_one_more,
};

#else
#include "real.h"
#include "vmath.h"

static lane_reference XN_T(reference_of)(real max) {
    const double shift = (double)XN_T(refer)(max).shift;
    const double ln2 = XN_LN2_HI + XN_LN2_LO;
    const lane_reference r = {shift, nearbyint(((double)max - shift - XN_T(offset)(max)) / ln2), XN_LIFT};
    return r;
}

static void XN_T(exp_lanes)(real max, const real *x, real *to, int count) {
    const XN_T(reference) ref = XN_T(refer)(max);
#pragma omp simd
    for (int i = 0; i < count; i++) to[i] = XN_T(lifted)(x[i], ref.shift, ref.lowest, ref.magic);
}

static void XN_T(log_lanes)(double sum, const real *p, real *to, int count) {
    const real high = (real)sum, low = (real)(sum - (double)high), inverse = (real)(1 / sum);
#pragma omp simd
    for (int i = 0; i < count; i++) to[i] = XN_T(log_quotient)(p[i], high, low, inverse);
}
#endif

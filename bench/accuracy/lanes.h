/* SPDX-License-Identifier: BSD-3-Clause */
/* The exp and log of the kernels over arrays, one table per instruction set: what the sweep measures. */
#ifndef XN_SLOW_LANES_H
#define XN_SLOW_LANES_H

/* exp(x - reference) 2^lift, as a row with this maximum takes it. The reference is shift + n ln 2. */
typedef struct {
    double shift, n, lift;
} lane_reference;

typedef struct {
    const char *isa;
    lane_reference (*reference_f32)(float max), (*reference_f64)(double max);
    void (*exp_f32)(float max, const float *x, float *to, int count);
    void (*exp_f64)(double max, const double *x, double *to, int count);
    /* log(p / sum): of dense targets, in the compute type, */
    void (*log_f32)(double sum, const float *p, float *to, int count);
    void (*log_f64)(double sum, const double *p, double *to, int count);
    /* and of labels, in float64. */
    void (*log_label)(double sum, const float *p, double *to, int count);
    /* The last step of a row, in float64: exp(d) for d <= 0, log(1 + z) for z >= 0. */
    void (*exp_negative)(const double *d, double *to, int count);
    void (*log1p)(const double *z, double *to, int count);
} lane_table;

extern const lane_table lanes_baseline;
#ifdef XN_X86
extern const lane_table lanes_avx2, lanes_avx512;
#endif

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* The compute type of the templates included after this file: XN_REAL is 32 or 64.
 *
 * Defines real, its integer of the same width, the lane counts and XN_T(name), which gives every
 * template function its suffix. The lane counts are the same on every ISA: they fix the order of
 * additions, and so the bits of every result. */
#undef real
#undef ireal
#undef ureal
#undef XN_T
#undef XN_LANES
#undef XN_MANTISSA
#undef XN_BIAS
#undef XN_FMA

#if XN_REAL == 32
#define real float
#define ireal int32_t
#define ureal uint32_t
#define XN_T(name) name##_f32
#define XN_LANES 16
#define XN_MANTISSA 23
#define XN_BIAS 127
#else
#define real double
#define ireal int64_t
#define ureal uint64_t
#define XN_T(name) name##_f64
#define XN_LANES 8
#define XN_MANTISSA 52
#define XN_BIAS 1023
#endif

/* A fused multiply-add where the ISA has one. Contraction is off, so that nothing else fuses. */
#if !XN_HAS_FMA
#define XN_FMA(a, b, c) ((a) * (b) + (c))
#elif XN_REAL == 32
#define XN_FMA(a, b, c) __builtin_fmaf(a, b, c)
#else
#define XN_FMA(a, b, c) __builtin_fma(a, b, c)
#endif

enum {
    XN_T(LANES) = XN_LANES,         /* one virtual vector: 64 bytes */
    XN_T(GROUP) = 4 * XN_LANES,     /* vectors in flight at once, to hide the latency of exp */
    XN_T(FLUSH) = 32 * XN_LANES,    /* elements summed in `real` lanes before they go on in double */
    XN_T(BLOCK) = 128 * XN_LANES,   /* elements whose maximum is taken before they are exponentiated: 8 KB */
    XN_T(PACKED) = XN_COL_BYTES / (int)sizeof(real), /* elements in a packed block of the cols kernels */
    XN_T(WAITING) = 131072,         /* bytes of rows that wait in the cache for their second visit */
    XN_T(COL_FLUSH) = 8             /* classes summed in `real` lanes before they go on in double (cols) */
};

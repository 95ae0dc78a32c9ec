/* SPDX-License-Identifier: BSD-3-Clause */
/* The compute type of the templates included after this file: XN_REAL is 32 or 64. What elements are in memory says
 * XN_STORED: see storage.h.
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
#undef XN_VECTOR
#undef XN_READS_REAL
#undef XN_WRITES_REAL

#if XN_REAL == 32
#define real float
#define ireal int32_t
#define ureal uint32_t
#define XN_LANES 16
#define XN_MANTISSA 23
#define XN_BIAS 127
#else
#define real double
#define ireal int64_t
#define ureal uint64_t
#define XN_LANES 8
#define XN_MANTISSA 52
#define XN_BIAS 1023
#endif

#if XN_STORED == XN_STORED_FLOAT16
#define XN_T(name) name##_f16
#elif XN_STORED == XN_STORED_BFLOAT16
#define XN_T(name) name##_bf16
#elif XN_STORED == XN_STORED_FLOAT32_OUT
#define XN_T(name) name##_f64_to_f32
#elif XN_REAL == 32
#define XN_T(name) name##_f32
#else
#define XN_T(name) name##_f64
#endif

/* Whether elements are of the compute type as they are read, and as they are written: then they need no conversion. */
#define XN_READS_REAL (XN_STORED == XN_STORED_REAL || XN_STORED == XN_STORED_FLOAT32_OUT)
#define XN_WRITES_REAL (XN_STORED == XN_STORED_REAL)

/* Elements in a vector of the hardware: only how loops are written depends on it, not what they compute. */
#if defined(__AVX512F__)
#define XN_VECTOR XN_LANES
#elif defined(__AVX__)
#define XN_VECTOR (XN_LANES / 2)
#else
#define XN_VECTOR (XN_LANES / 4)
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
    XN_T(FLUSH) = 64 * XN_LANES,    /* elements summed in `real` lanes before they go on in double */
    XN_T(DOTS) = XN_REAL == 32 ? XN_T(FLUSH) : XN_T(GROUP), /* products summed before float64 carries its errors */
    XN_T(BLOCK) = 128 * XN_LANES,   /* elements whose maximum is taken before they are exponentiated: 8 KB */
    XN_T(COL_ROWS) = 4 * XN_LANES,  /* most rows in a packed block, */
    XN_T(PACKED) = XN_T(COL_ROWS) *XN_FEW_CLASSES, /* and the elements in it: 28 KB */
    XN_T(KEPT) = XN_KEPT_BYTES / (int)sizeof(real), /* exponentials kept from the first visit to the second */
    XN_T(SLOTS) = 128,              /* most blocks of them */
    XN_T(NEAR) = 512 * XN_LANES,    /* of short rows: so many as stay in the first-level cache */
    XN_T(COL_FLUSH) = 16             /* classes summed in `real` lanes before they go on in double (cols) */
};

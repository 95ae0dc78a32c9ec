/* SPDX-License-Identifier: BSD-3-Clause */
/* The types that elements have in the caller's memory: `stored` where they are read, `written` where they are written.
 * Either is `real` or half its width or less. Narrow types are widened on the way in and rounded to nearest, ties to
 * even, on the way out; all else is `real`.
 * Template: see real.h.
 *
 * Nothing here depends on the instruction set but the speed: the conversions of F16C give the bits of the loops
 * beside them. */

#if XN_READS_REAL
typedef real XN_T(stored);

XN_INLINE real XN_T(widened)(XN_T(stored) value) {
    return value;
}
#else
typedef uint16_t XN_T(stored);
#endif

#if XN_STORED == XN_STORED_FLOAT32_OUT
typedef float XN_T(written);
typedef real XN_T(lanes) __attribute__((vector_size(XN_LANES * sizeof(real))));
typedef float XN_T(written_lanes) __attribute__((vector_size(XN_LANES * sizeof(float))));
#else
typedef XN_T(stored) XN_T(written);
#endif

#if XN_READS_REAL
XN_INLINE XN_T(written) XN_T(narrowed)(real value) {
    return (XN_T(written))value;
}
#endif

#if XN_STORED == XN_STORED_BFLOAT16 /* the upper half of a float32 */
XN_INLINE real XN_T(widened)(XN_T(stored) half) {
    return XN_T(from_bits)((ireal)((ureal)half << 16));
}

#if defined(__AVX512F__)
XN_INLINE __m512 XN_T(widen_vector)(__m256i halves) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}
#elif defined(__AVX2__)
XN_INLINE __m256 XN_T(widen_vector)(__m128i halves) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}
#endif

XN_INLINE XN_T(written) XN_T(narrowed)(real value) {
    const ureal bits = (ureal)XN_T(to_bits)(value);
    const ureal rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    const ureal quiet = (bits >> 16) | 0x40;
    return (XN_T(written))(value != value ? quiet : rounded);
}
#endif

#if XN_STORED == XN_STORED_FLOAT16 /* 5 bits of exponent, 10 of mantissa */
XN_INLINE real XN_T(widened)(XN_T(stored) half) {
    const ureal magnitude = ((ureal)half & 0x7fff) << 13, sign = ((ureal)half & 0x8000) << 16;
    const ureal finite = (ureal)XN_T(to_bits)(XN_T(from_bits)((ireal)magnitude) * 0x1p112f); /* exact */
    const ureal special = magnitude | 0x7f800000;
    return XN_T(from_bits)((ireal)(sign | (magnitude >= 0x0f800000 ? special : finite)));
}

#if defined(__AVX512F__)
XN_INLINE __m512 XN_T(widen_vector)(__m256i halves) {
    return _mm512_cvtph_ps(halves);
}
#elif defined(__AVX2__)
XN_INLINE __m256 XN_T(widen_vector)(__m128i halves) {
    return _mm256_cvtph_ps(halves);
}
#endif

XN_INLINE XN_T(written) XN_T(narrowed)(real value) {
    const ureal bits = (ureal)XN_T(to_bits)(value), sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff;
    const ureal normal = (magnitude + 0xfff + ((magnitude >> 13) & 1) - (112u << 23)) >> 13;
    /* Adding 1/2 rounds to multiples of 2^-24, the smallest float16. */
    const ureal small = (ureal)XN_T(to_bits)(XN_T(from_bits)((ireal)magnitude) + 0.5f) - 0x3f000000;
    const ureal finite = magnitude < 0x38800000 ? small : normal;
    const ureal special = magnitude > 0x7f800000 ? 0x7e00 : 0x7c00;
    return (XN_T(written))(sign | (magnitude >= 0x477ff000 ? special : finite));
}
#endif

/* LANES elements. Where `to` is an array of the caller's that its own lane loops alone read, it lives in registers: so
 * they are widened in vectors of the width of those loops. */
XN_INLINE void XN_T(widen_lanes)(real *restrict to, const XN_T(stored) *restrict from) {
#if !XN_READS_REAL && defined(__AVX512F__)
    _mm512_storeu_ps(to, XN_T(widen_vector)(_mm256_loadu_si256((const __m256i *)(const void *)from)));
#elif !XN_READS_REAL && defined(__AVX2__)
    for (int i = 0; i < XN_LANES; i += 8)
        _mm256_storeu_ps(to + i, XN_T(widen_vector)(_mm_loadu_si128((const __m128i *)(const void *)(from + i))));
#else
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) to[i] = XN_T(widened)(from[i]);
#endif
}

XN_INLINE void XN_T(narrow_lanes)(XN_T(written) *restrict to, const real *restrict from) {
#if XN_STORED == XN_STORED_FLOAT16 && defined(__F16C__)
    for (int i = 0; i < XN_LANES; i += 8)
        _mm_storeu_si128((__m128i *)(void *)(to + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
#elif XN_STORED == XN_STORED_FLOAT32_OUT /* as one vector: a loop would be split into halves */
    XN_T(lanes) lanes;
    memcpy(&lanes, from, sizeof lanes);
    const XN_T(written_lanes) narrow = __builtin_convertvector(lanes, XN_T(written_lanes));
    memcpy(to, &narrow, sizeof narrow);
#else
#pragma omp simd
    for (int i = 0; i < XN_LANES; i++) to[i] = XN_T(narrowed)(from[i]);
#endif
}

/* n elements in a row. */
static inline void XN_T(widen)(real *restrict to, const XN_T(stored) *restrict from, int64_t n) {
    int64_t j = 0;
    for (; j + XN_LANES <= n; j += XN_LANES) XN_T(widen_lanes)(to + j, from + j);
    for (; j < n; j++) to[j] = XN_T(widened)(from[j]);
}

static inline void XN_T(narrow)(XN_T(written) *restrict to, const real *restrict from, int64_t n) {
    int64_t j = 0;
    if (XN_WRITES_REAL) {
        memcpy(to, from, (size_t)n * sizeof *to);
        return;
    }
    for (; j + XN_LANES <= n; j += XN_LANES) XN_T(narrow_lanes)(to + j, from + j);
    for (; j < n; j++) to[j] = XN_T(narrowed)(from[j]);
}

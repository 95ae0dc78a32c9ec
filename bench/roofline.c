/* SPDX-License-Identifier: BSD-3-Clause */
/* What memory and arithmetic can do: the loops that bench/roofline.py times. No part of the library.
 *
 * Those of memory walk cache lines of 16 floats. GCC's and Clang's vector extension turns a line into one AVX-512, two
 * AVX or four SSE/NEON registers; the streaming stores, which do not read what they overwrite, have no portable name
 * and stand under #ifdef. */
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <immintrin.h>
#endif

typedef float line __attribute__((vector_size(64)));

enum { LINES = 8 }; /* sums that do not wait for each other: an addition takes four cycles */

static line load(const float *from) {
    line value;
    memcpy(&value, from, sizeof value);
    return value;
}

/* One line to a 64-byte aligned address, past the cache where the CPU can do that. */
static void stream(float *to, const float *from) {
#if defined(__AVX512F__)
    _mm512_stream_ps(to, _mm512_loadu_ps(from));
#elif defined(__AVX__)
    for (int i = 0; i < 16; i += 8) _mm256_stream_ps(to + i, _mm256_loadu_ps(from + i));
#elif defined(__SSE2__)
    for (int i = 0; i < 16; i += 4) _mm_stream_ps(to + i, _mm_loadu_ps(from + i));
#else
    memcpy(to, from, sizeof(line));
#endif
}

/* What stream() became, for the report. */
const char *roofline_kind(void) {
#if defined(__AVX512F__)
    return "avx512, streaming stores";
#elif defined(__AVX__)
    return "avx, streaming stores";
#elif defined(__SSE2__)
    return "sse2, streaming stores";
#else
    return "portable, ordinary stores";
#endif
}

/* Sum of x[0..count): the result is returned so that no compiler drops the loop. count is a multiple of 128. */
double roofline_read(const float *x, int64_t count, int threads) {
    double total = 0;
#pragma omp parallel for schedule(static) num_threads(threads) reduction(+ : total)
    for (int part = 0; part < threads; part++) {
        const int64_t blocks = count / (16 * LINES);
        const int64_t from = blocks * part / threads, to = blocks * (part + 1) / threads;
        line sum[LINES] = {0};
        for (int64_t b = from; b < to; b++)
            for (int k = 0; k < LINES; k++) sum[k] += load(x + (b * LINES + k) * 16);
        for (int k = 0; k < LINES; k++)
            for (int i = 0; i < 16; i++) total += sum[k][i];
    }
    return total;
}

/* to[0..count) = from[0..count). count is a multiple of 128; both are aligned to 64 bytes. */
void roofline_copy(float *to, const float *from, int64_t count, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int part = 0; part < threads; part++) {
        const int64_t lines = count / 16;
        const int64_t first = lines * part / threads, last = lines * (part + 1) / threads;
        for (int64_t i = first; i < last; i++) stream(to + i * 16, from + i * 16);
#ifdef __SSE2__
        _mm_sfence();
#endif
    }
}

static inline __attribute__((always_inline)) float power_of_two(float biased) {
    uint32_t bits;
    float scale;
    memcpy(&bits, &biased, sizeof bits);
    bits <<= 23;
    memcpy(&scale, &bits, sizeof scale);
    return scale;
}

/* sum += exp(d) by the polynomial of the kernels. */
static inline __attribute__((always_inline)) float add_exp(float sum, float x) {
    const float magic = 0x1.8p23f + 127, d = x > -87.0f ? x : -87.0f;
    const float k = __builtin_fmaf(d, 0x1.715476p+0f, magic), n = k - magic;
    const float r = __builtin_fmaf(n, -0x1.0bfbe8p-15f, __builtin_fmaf(n, -0x1.62e0p-1f, d));
    float p = __builtin_fmaf(0x1.6d110ap-10f, r, 0x1.120b6ep-7f);
    p = __builtin_fmaf(p, r, 0x1.55551ap-5f);
    p = __builtin_fmaf(p, r, 0x1.5554dcp-3f);
    p = __builtin_fmaf(p, r, 0.5f);
    p = __builtin_fmaf(p, r, 1.0f);
    return __builtin_fmaf(__builtin_fmaf(p, r, 1.0f), power_of_two(k), sum);
}

static double sum_exp(const float *x, int64_t count) {
    float sum[64] = {0};
    double total = 0;
    for (int64_t j = 0; j < count; j += 64) {
#pragma omp simd
        for (int i = 0; i < 64; i++) sum[i] = add_exp(sum[i], x[j + i]);
    }
    for (int i = 0; i < 64; i++) total += (double)sum[i];
    return total;
}

/* Sum of exp(x[0..count)), `rounds` times over an array that stays in the cache of each thread: the exponential of the
 * kernels and nothing else - no maximum, no ties, no labels, no logarithm. count is a multiple of 64. */
double roofline_exp(const float *x, int64_t count, int64_t rounds, int threads) {
    double total = 0;
#pragma omp parallel for schedule(static) num_threads(threads) reduction(+ : total)
    for (int part = 0; part < threads; part++)
        for (int64_t round = 0; round < rounds; round++) total += sum_exp(x, count);
    return total;
}

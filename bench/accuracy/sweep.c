/* SPDX-License-Identifier: BSD-3-Clause */
/* Every float32 through the exp and the log of the kernels, on each instruction set that this CPU runs.
 *
 *     xent_sweep exp MAX...   all x from -inf to MAX, as a row with this maximum has them
 *     xent_sweep log SUM...   all p in the clip's range of SUM, for dense targets and for labels
 *
 * Prints a line for each function, instruction set and argument, tabs between the fields: name, isa, argument, how
 * many were tested, the largest error in ulp of float32 where the true value is at least LEAST, the input where that
 * is, and (exp) the largest true value for which 0 came out.
 *
 * The reference is the exp, log and log1p of the C library in double: an error of 1 ulp there is 2e-9 ulp here. */
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/core.h"
#include "lanes.h"

/* Below, r 2^n may be subnormal in exp(x) = 2^n + r 2^n slope, and loses digits. Under the lift of 2^60 such a term is
 * 2^-162 of the row's largest: no loss and no gradient that is a normal number shows it. */
#define LEAST 0x1p-102

enum {
    BLOCK = 4096,
    MOST_ISAS = 3,
    FAR = 200 /* exp(-FAR) 2^60 is below the smallest subnormal */
};

static const double LN2_HI = 0x1.62e42fee00000p-1, LN2_LO = 0x1.a39ef35793c76p-33; /* the first has 32 bits */
static const double EPSILON = 1e-7;                                               /* the default clip */

static const lane_table *tables[MOST_ISAS];
static int isas;

static void find_tables(void) {
    const int level = xn_cpu_level();
#ifdef XN_X86
    if (level >= XN_LEVEL_AVX512) tables[isas++] = &lanes_avx512;
    if (level >= XN_LEVEL_AVX2) tables[isas++] = &lanes_avx2;
#endif
    tables[isas++] = &lanes_baseline;
}

typedef struct {
    int64_t count;
    double ulps, flushed;
    float at;
} worst;

static void merge(worst *into, worst other) {
    into->count += other.count;
    if (!(other.ulps <= into->ulps)) {
        into->ulps = other.ulps;
        into->at = other.at;
    }
    if (other.flushed > into->flushed) into->flushed = other.flushed;
}

/* Compares with the truth, ulp by ulp of float32; NaN is an infinite error. */
static void compare(worst *w, const float *x, const double *got, const double *truth, int count) {
    double ulps[BLOCK], most = 0, flushed = 0;
    for (int i = 0; i < count; i++) {
        const double size = fabs(truth[i]), error = fabs(got[i] - truth[i]);
        uint64_t bits;
        memcpy(&bits, &size, sizeof bits);
        bits &= UINT64_C(0x7ff0000000000000);
        double binade;
        memcpy(&binade, &bits, sizeof binade);
        const double lost = got[i] == 0 ? size : error > 0x1p-126 + 0x1p-22 * size ? INFINITY : 0; /* below LEAST */
        ulps[i] = size >= LEAST ? error / binade * 0x1p23 : lost == INFINITY ? INFINITY : 0;
        ulps[i] = got[i] != got[i] ? INFINITY : ulps[i];
        flushed = got[i] == 0 && size > flushed ? size : flushed;
        most = ulps[i] > most ? ulps[i] : most;
    }
    worst block = {count, most, flushed, 0};
    for (int i = 0; most > w->ulps && i < count; i++)
        if (ulps[i] == most) block.at = x[i];
    merge(w, block);
}

/* The float whose bits, read as a number of ordered values from -inf upwards, are `index`. */
static float float_at(int64_t index) {
    const int64_t below = INT64_C(0x7f800000); /* -inf, the largest negative ..., -0 */
    const uint32_t bits = index <= below ? UINT32_C(0xff800000) - (uint32_t)index : (uint32_t)(index - below - 1);
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static int64_t index_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int64_t below = INT64_C(0x7f800000);
    return bits >> 31 ? (int64_t)(UINT32_C(0xff800000) - bits) : below + 1 + (int64_t)bits;
}

typedef void measure(worst *w, double argument, const float *x, int count);

/* Half of all floats are so far down that nothing but 0 will do. */
static void exp_far_block(worst *w, double max, const float *x, int count) {
    float result[BLOCK];
    for (int isa = 0; isa < isas; isa++) {
        tables[isa]->exp_f32((float)max, x, result, count);
        int zeros = 0;
        for (int i = 0; i < count; i++) zeros += result[i] == 0;
        const worst block = {count, zeros == count ? 0 : INFINITY, 0, x[0]};
        merge(w + isa, block);
    }
}

static void exp_block(worst *w, double max, const float *x, int count) {
    const lane_reference ref = tables[0]->reference_f32((float)max);
    const double scale = ldexp(1, (int)ref.lift);
    double truth[BLOCK], got[BLOCK];
    float result[BLOCK];
    if ((double)x[count - 1] - max < -FAR) {
        exp_far_block(w, max, x, count);
        return;
    }
    for (int i = 0; i < count; i++) {
        /* n LN2_HI is exact, and so is the first difference, but for the shift of what is far away */
        const double d = (((double)x[i] - ref.shift) - ref.n * LN2_HI) - ref.n * LN2_LO;
        truth[i] = d < -700 ? 0 : exp(d) * scale;
    }
    for (int isa = 0; isa < isas; isa++) {
        tables[isa]->exp_f32((float)max, x, result, count);
        for (int i = 0; i < count; i++) got[i] = (double)result[i];
        compare(w + isa, x, got, truth, count);
    }
}

static void log_block(worst *w, double sum, const float *p, int count) {
    double truth[BLOCK], got[BLOCK];
    float result[BLOCK];
    for (int i = 0; i < count; i++) {
        const double x = (double)p[i]; /* x - sum is exact in the upper half */
        truth[i] = x > 0.5 * sum ? log1p((x - sum) / sum) : log(x / sum);
    }
    for (int isa = 0; isa < isas; isa++) {
        tables[isa]->log_f32(sum, p, result, count);
        for (int i = 0; i < count; i++) got[i] = (double)result[i];
        compare(w + isa, p, got, truth, count);
        tables[isa]->log_label(sum, p, got, count);
        for (int i = 0; i < count; i++) got[i] = (double)(float)got[i];
        compare(w + MOST_ISAS + isa, p, got, truth, count);
    }
}

static void run(worst *w, measure *block, double argument, int64_t from, int64_t to) {
    const int64_t blocks = (to - from) / BLOCK + 1;
#pragma omp parallel
    {
        worst mine[2 * MOST_ISAS] = {{0, 0, 0, 0}};
        float x[BLOCK];
#pragma omp for schedule(dynamic, 64) nowait
        for (int64_t b = 0; b < blocks; b++) {
            const int64_t start = from + b * BLOCK, left = to - start + 1;
            const int count = (int)(left < BLOCK ? left : BLOCK);
            for (int i = 0; i < count; i++) x[i] = float_at(start + i);
            block(mine, argument, x, count);
        }
#pragma omp critical
        for (int i = 0; i < 2 * MOST_ISAS; i++) merge(w + i, mine[i]);
    }
}

static void report(const char *name, const worst *w, const char *argument, double flushed_scale) {
    for (int isa = 0; isa < isas; isa++)
        printf("%s\t%s\t%s\t%" PRId64 "\t%.4f\t%a\t%.3g\n", name, tables[isa]->isa, argument, w[isa].count, w[isa].ulps,
               (double)w[isa].at, w[isa].flushed / flushed_scale);
    fflush(stdout);
}

int main(int argc, char **argv) {
    find_tables();
    if (argc < 3 || isas == 0 || (strcmp(argv[1], "exp") != 0 && strcmp(argv[1], "log") != 0)) {
        fprintf(stderr, "usage: xent_sweep exp MAX... | log SUM...\n");
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        const double argument = strtod(argv[i], NULL);
        worst w[2 * MOST_ISAS] = {{0, 0, 0, 0}};
        if (argv[1][0] == 'e') {
            const lane_reference ref = tables[0]->reference_f32((float)argument);
            run(w, exp_block, argument, 0, index_of((float)argument));
            report("exp", w, argv[i], ldexp(1, (int)ref.lift));
        } else {
            /* Inwards: a bound rounded outwards would leave the range that the clip lets through. */
            const float low = nextafterf((float)(EPSILON * argument), INFINITY);
            const float high = nextafterf((float)((1 - EPSILON) * argument), 0);
            run(w, log_block, argument, index_of(low), index_of(high));
            report("log, dense", w, argv[i], 1);
            report("log, labels", w + MOST_ISAS, argv[i], 1);
        }
    }
    return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* A fixed set of problems through xent.h: a line for each output, with the hash of its bits. Contract D3 says that the
 * lines of AVX2, AVX-512 and NEON are the same; tests/slow/neon.py compares them.
 *
 *     xent_bits ISA THREADS
 *
 * Inputs come from integers, additions and products alone, so that they are the same on every machine: no libm. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../c/harness.h"
#include "xent.h"

enum { ELEMENTS = 30000, MOST_ROWS = 70, LARGE_ROWS = 25000 };

enum { INPUT, TARGET, GRAD, HESS, PROB, LOG_PROB, CLASS_WEIGHT, ARRAYS };

typedef struct {
    xn_dtype dtype;
    int64_t rows, classes;
    double *x, *target, *sample_weight; /* (rows, classes), (rows, classes), (rows): before they are rounded */
    int32_t *labels;
    char *bytes[ARRAYS]; /* of dtype */
} data;

static const char *const layouts[] = {"last", "first", "middle"};

static void *allocate(int64_t bytes) {
    void *memory = calloc((size_t)bytes + 1, 1);
    if (memory) return memory;
    fprintf(stderr, "no memory\n");
    exit(1);
}

static size_t size_of(xn_dtype dtype) {
    return dtype == XN_FLOAT32 ? sizeof(float) : sizeof(double);
}

static void put(char *to, xn_dtype dtype, int64_t i, double value) {
    const float single = (float)value;
    memcpy(to + (size_t)i * size_of(dtype), dtype == XN_FLOAT32 ? (const void *)&single : &value, size_of(dtype));
}

/* FNV-1a; all NaN are one. */
static uint64_t hash_of(const char *bytes, xn_dtype dtype, int64_t count) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (int64_t i = 0; i < count; i++) {
        float single = 0;
        double value = 0;
        memcpy(dtype == XN_FLOAT32 ? (void *)&single : &value, bytes + (size_t)i * size_of(dtype), size_of(dtype));
        uint64_t bits = 0;
        memcpy(&bits, bytes + (size_t)i * size_of(dtype), size_of(dtype));
        if (single != single || value != value) bits = 1;
        for (int byte = 0; byte < 8; byte++) hash = (hash ^ (bits >> (8 * byte) & 255)) * UINT64_C(0x100000001b3);
    }
    return hash;
}

/* Rows of logits of many kinds, and probabilities that are nearly normalised. */
static void draw_inputs(data *d, rng *r, int is_prob) {
    static const double offsets[] = {0, 0, 3, -20, 511.5, -513, 600, -3000, 1e30};
    static const double scales[] = {0.125, 1, 1, 4, 40, 1e-30};
    for (int64_t row = 0; row < d->rows; row++) {
        double *x = d->x + row * d->classes;
        const double offset = offsets[rng_int(r, 0, 8)], scale = scales[rng_int(r, 0, 5)];
        const int64_t kind = is_prob ? rng_int(r, 20, 29) : rng_int(r, 0, 11);
        for (int64_t c = 0; c < d->classes; c++) {
            const double step = (double)rng_int(r, -1048576, 1048576) * 0x1p-18; /* within 4 */
            x[c] = is_prob ? (step + 4) * (step + 4) / (16.0 * (double)d->classes) : offset + scale * step;
            if (kind == 0) x[c] = (double)rng_int(r, 0, 2);
            if (kind == 1 && rng_chance(r, 30)) x[c] = -INFINITY;
            if (kind == 2) x[c] += 0.01 * (double)c;
            if (kind == 20 && rng_chance(r, 30)) x[c] = 0;
            if (kind == 21) x[c] *= 1e-9;
        }
        const int64_t one = rng_int(r, 0, d->classes - 1);
        if (kind == 3) x[one] += 20;
        if (kind == 4) x[one] = NAN;
        if (kind == 5) x[one] = INFINITY;
        if (kind == 21) x[one] = 1;
        d->labels[row] = (int32_t)rng_int(r, 0, d->classes - 1);
        d->sample_weight[row] = rng_chance(r, 20) ? 0 : (double)rng_int(r, 1, 100) / 64;
    }
    for (int64_t i = 0; i < d->rows * d->classes; i++)
        d->target[i] = rng_chance(r, 30) ? 0 : (double)rng_int(r, 0, 1000) / (512.0 * (double)d->classes);
    for (int64_t c = 0; c < d->classes; c++) put(d->bytes[CLASS_WEIGHT], d->dtype, c, (double)rng_int(r, 16, 64) / 32);
}

/* Where element (row, class) stands: 0: classes last, 1: rows last, 2: (outer, classes, inner). */
static xn_array view(const data *d, char *memory, int layout, int64_t inner) {
    xn_array a = {memory, d->classes, 1, 0};
    if (layout == 1) a = (xn_array){memory, 0, d->rows, 1};
    if (layout == 2) a = (xn_array){memory, d->classes * inner, inner, 1};
    return a;
}

static void place(const data *d, char *memory, const double *value, int layout, int64_t inner) {
    const xn_array a = view(d, memory, layout, inner);
    for (int64_t row = 0; row < d->rows; row++) {
        const int64_t start = layout == 0 ? row * a.outer : row / inner * a.outer + row % inner;
        for (int64_t c = 0; c < d->classes; c++) put(memory, d->dtype, start + c * a.cls, value[row * d->classes + c]);
    }
}

typedef struct {
    int is_prob, layout, dense, options, threads;
} variant;

static void run(const data *d, variant v) {
    static const xn_reduction reductions[] = {XN_NONE, XN_SUM, XN_MEAN, XN_WEIGHTED_MEAN};
    const int64_t inner = v.layout == 0 ? 1 : v.layout == 1 ? d->rows : d->rows % 2 ? 1 : d->rows / 2;
    const int64_t outer = d->rows / inner, count = d->rows * d->classes;
    double *loss = allocate(d->rows * 8), *lse = allocate(d->rows * 8);
    place(d, d->bytes[INPUT], d->x, v.layout, inner);
    place(d, d->bytes[TARGET], d->target, v.layout, inner);
    xn_problem p = {
        .outer = outer, .classes = d->classes, .inner = inner, .classes_last = v.layout == 0, .dtype = d->dtype};
    p.input = view(d, d->bytes[INPUT], v.layout, inner);
    p.n_threads = v.threads;
    p.epsilon = 1e-7;
    if (v.dense) {
        p.target = view(d, d->bytes[TARGET], v.layout, inner);
    } else {
        p.labels = (xn_labels){d->labels, XN_INT32, inner, 1};
    }
    if (v.options) {
        p.label_smoothing = 0.125;
        p.class_weight = d->bytes[CLASS_WEIGHT];
        p.sample_weight = (xn_row_array){d->sample_weight, XN_FLOAT64, inner, 1};
        p.has_ignored = !v.dense;
        p.reduction = reductions[d->classes % 4];
    }
    p.loss = (xn_row_array){loss, XN_FLOAT64, inner, 1};
    p.grad = view(d, d->bytes[GRAD], v.layout, inner);
    if (!v.is_prob) {
        p.lse = (xn_row_array){lse, XN_FLOAT64, inner, 1};
        p.hess = view(d, d->bytes[HESS], v.layout, inner);
        p.prob = view(d, d->bytes[PROB], v.layout, inner);
        p.log_prob = view(d, d->bytes[LOG_PROB], v.layout, inner);
    }
    const xn_status status = v.is_prob ? xn_prob_ce(&p) : xn_softmax_ce(&p);
    if (status != XN_OK) {
        fprintf(stderr, "%s\n", xn_status_text(status));
        exit(1);
    }
    const struct {
        const char *name;
        const void *bytes;
        xn_dtype dtype;
        int64_t count;
    } outputs[] = {
        {"loss", loss, XN_FLOAT64, d->rows},
        {"reduced", &p.reduced, XN_FLOAT64, 1},
        {"grad", d->bytes[GRAD], d->dtype, count},
        {"lse", lse, XN_FLOAT64, d->rows},
        {"hess", d->bytes[HESS], d->dtype, count},
        {"prob", d->bytes[PROB], d->dtype, count},
        {"log_prob", d->bytes[LOG_PROB], d->dtype, count},
    };
    for (int i = 0; i < (v.is_prob ? 3 : 7); i++)
        printf("%s f%d, %" PRId64 " x %" PRId64 ", classes %s, %s%s: %s\t%016" PRIx64 "\n",
               v.is_prob ? "probabilities" : "logits", d->dtype == XN_FLOAT32 ? 32 : 64, d->rows, d->classes,
               layouts[v.layout], v.dense ? "dense" : "labels", v.options ? " with options" : "", outputs[i].name,
               hash_of(outputs[i].bytes, outputs[i].dtype, outputs[i].count));
    free(loss);
    free(lse);
}

static void run_shape(int64_t rows, int64_t classes, int threads) {
    const int64_t count = rows * classes;
    data d = {.rows = rows, .classes = classes};
    d.x = allocate(count * 8);
    d.target = allocate(count * 8);
    d.sample_weight = allocate(rows * 8);
    d.labels = allocate(rows * 4);
    for (int i = 0; i < ARRAYS; i++) d.bytes[i] = allocate((i == CLASS_WEIGHT ? classes : count) * 8);
    for (int i = 0; i < 4; i++) {
        const int is_prob = i & 1;
        rng r = rng_of((uint64_t)(rows * 1000003 + classes * 4 + i));
        d.dtype = i & 2 ? XN_FLOAT64 : XN_FLOAT32;
        draw_inputs(&d, &r, is_prob);
        for (int layout = 0; layout < 3; layout++)
            for (int kind = 0; kind < 4; kind++) run(&d, (variant){is_prob, layout, kind & 1, kind >> 1, threads});
    }
    for (int i = 0; i < ARRAYS; i++) free(d.bytes[i]);
    free(d.x);
    free(d.target);
    free(d.sample_weight);
    free(d.labels);
}

int main(int argc, char **argv) {
    static const int64_t classes[] = {1,   2,   3,   5,    8,    10,   15,   16,    17,    24,    31,  33,
                                      48,  64,  65,  90,   100,  112,  113,  120,   127,   128,   129, 144,
                                      200, 257, 511, 1000, 2049, 5000, 8191, 32768, 40001, 131073};
    const int threads = argc == 3 ? atoi(argv[2]) : 0;
    if (threads < 1) {
        fprintf(stderr, "usage: xent_bits ISA THREADS\n");
        return 2;
    }
    xn_init();
    if (xn_set_isa(argv[1]) != XN_OK) {
        fprintf(stderr, "this CPU does not run %s\n", argv[1]);
        return 2;
    }
    for (int i = 0; i < (int)(sizeof classes / sizeof classes[0]); i++) {
        const int64_t most = ELEMENTS / classes[i], rows = most < 2 ? 2 : most > MOST_ROWS ? MOST_ROWS : most;
        run_shape(rows - (classes[i] % 3 == 0 && rows > 2), classes[i], threads);
    }
    run_shape(LARGE_ROWS, 7, threads); /* enough for many jobs */
    return 0;
}

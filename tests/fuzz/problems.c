/* SPDX-License-Identifier: BSD-3-Clause */
/* An operation on a problem that the input describes: options, layouts, and any bits as numbers. Every instruction set
 * runs it: those with a fused multiply-add have the same bits, all are within the bounds of the truth, and nothing is
 * read or written outside of the arrays. */
#include "../c/problem.h"
#include "fuzz.h"

enum { ELEMENTS = 100, MANY = 1000, SEGMENT = 65536 };

static problem q;

/* Mostly a hundred elements; sometimes rows for several strips (64) and tiles (512). */
static void draw_sizes(xn_problem *p, rng *r) {
    const int kind = (int)rng_int(r, 0, 255);
    p->classes = rng_int(r, 1, kind < 160 ? 24 : kind < 248 ? 140 : 4);
    const int64_t most = (kind >= 248 ? MANY : ELEMENTS) / p->classes + 1;
    p->outer = rng_int(r, kind < 4 ? 0 : 1, most);
    p->inner = rng_chance(r, 60) ? 1 : rng_int(r, kind < 4 ? 0 : 1, most / (p->outer + 1) + 1);
}

/* Rows of several blocks, of 1024 or 2048 classes, and once in a while of two segments. */
static void draw_long(xn_problem *p, rng *r) {
    const int segments = rng_chance(r, 1);
    p->classes = segments            ? SEGMENT + rng_int(r, 1, 200)
                 : rng_chance(r, 50) ? rng_int(r, 500, 2300)
                                     : rng_int(r, 2040, 5000);
    p->outer = segments ? 1 : rng_int(r, 1, 3);
    p->inner = rng_chance(r, 80) ? 1 : 2;
}

static void run(rng *r, operation op, void (*sizes)(xn_problem *p, rng *r)) {
    q.p = (xn_problem){.dtype = (xn_dtype)rng_int(r, 0, XN_DTYPES - 1)};
    q.operation = op;
    q.hostile = 1;
    q.force_labels = q.bad_labels = 0;
    sizes(&q.p, r);
    problem_draw(&q, r);
    problem_run_all(&q, NULL);
}

void fuzz_long_rows(rng *r) {
    run(r, (operation)rng_int(r, SOFTMAX, OPERATIONS - 1), draw_long);
}

void fuzz_softmax(rng *r) {
    run(r, SOFTMAX, draw_sizes);
}

void fuzz_prob(rng *r) {
    run(r, PROB_CE, draw_sizes);
}

void fuzz_shaped(rng *r) {
    run(r, SHAPED, draw_sizes);
}

void fuzz_shaped_prob(rng *r) {
    run(r, SHAPED_PROB, draw_sizes);
}

void fuzz_binary(rng *r) {
    run(r, BINARY, draw_sizes);
}

/* Labels of any bits, of every type, in every layout: the first bad one is named, and then nothing is written. */

static void expect_refusal(int64_t row, int64_t label) {
    const xn_status status = problem_call(&q);
    if (status != XN_BAD_LABEL) fail("status %d for a bad label", (int)status);
    if (q.p.bad_row != row || q.p.bad_label != label)
        fail("row %lld with %lld, not row %lld with %lld", (long long)q.p.bad_row, (long long)q.p.bad_label,
             (long long)row, (long long)label);
    if (!problem_is_untouched(&q)) fail("something was written in spite of a bad label");
}

void fuzz_labels(rng *r) {
    q.p = (xn_problem){.dtype = (xn_dtype)rng_int(r, 0, XN_DTYPES - 1)};
    q.operation = (operation)rng_int(r, SOFTMAX, SHAPED_PROB);
    q.hostile = rng_chance(r, 30);
    q.force_labels = q.bad_labels = 1;
    q.forced_type = (xn_int_type)rng_int(r, XN_INT8, XN_WHOLE_FLOAT64);
    q.p.classes = rng_chance(r, 80) ? rng_int(r, 1, 20) : rng_int(r, 1, 300);
    q.p.outer = rng_chance(r, 98) ? rng_int(r, 1, 20) : rng_int(r, 1, 1100); /* a tile of the check has 512 rows */
    q.p.inner = rng_chance(r, 60) ? 1 : rng_int(r, 1, 20);
    if (q.p.outer * q.p.inner * q.p.classes > 4 * ELEMENTS) q.p.classes = q.p.inner = 1;
    problem_draw(&q, r);
    int64_t label;
    const int64_t row = problem_first_bad(&q, &label);
    if (row >= 0) {
        expect_refusal(row, label);
    } else {
        problem_run_all(&q, NULL);
    }
}

void fuzz_problem_counts(int64_t *checked, int64_t *told) {
    *checked = q.checked;
    *told = q.told;
}

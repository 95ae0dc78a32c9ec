/* SPDX-License-Identifier: BSD-3-Clause */
/* An operation on a problem that the input describes: options, layouts, and any bits as numbers. Every instruction set
 * runs it: those with a fused multiply-add have the same bits, all are within the bounds of the truth, and nothing is
 * read or written outside of the arrays. */
#include "../c/problem.h"
#include "fuzz.h"

enum { ELEMENTS = 100, MANY = 2000, LONG_ROW = 5000 };

static problem q;

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Mostly a few hundred elements. Sometimes rows of several blocks (1024 or 2048 classes) or rows for several tiles and
 * strips (64), and once in a while a row of two segments. */
static void draw_sizes(xn_problem *p, rng *r) {
    const int kind = (int)rng_int(r, 0, 255);
    p->classes = rng_int(r, 1, kind < 160 ? 24 : 140);
    if (kind >= 254) p->classes = rng_int(r, 113, LONG_ROW);
    if (kind == 255 && rng_chance(r, 1)) p->classes = 65536 + rng_int(r, 1, 300);
    const int64_t most = (kind >= 253 ? MANY : ELEMENTS) / p->classes + 1;
    p->outer = rng_int(r, kind < 4 ? 0 : 1, least(most, 200));
    p->inner = rng_chance(r, 60) ? 1 : rng_int(r, kind < 4 ? 0 : 1, least(most / (p->outer + 1) + 1, 200));
}

static void run(rng *r, operation op) {
    q.p = (xn_problem){.dtype = (xn_dtype)rng_int(r, 0, XN_DTYPES - 1)};
    q.operation = op;
    q.hostile = 1;
    q.force_labels = q.bad_labels = 0;
    draw_sizes(&q.p, r);
    problem_draw(&q, r);
    problem_run_all(&q, NULL);
}

void fuzz_softmax(rng *r) {
    run(r, SOFTMAX);
}

void fuzz_prob(rng *r) {
    run(r, PROB_CE);
}

void fuzz_shaped(rng *r) {
    run(r, SHAPED);
}

void fuzz_shaped_prob(rng *r) {
    run(r, SHAPED_PROB);
}

void fuzz_binary(rng *r) {
    run(r, BINARY);
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
    q.p.outer = rng_chance(r, 97) ? rng_int(r, 1, 20) : rng_int(r, 1, 1100); /* a tile of the check has 512 rows */
    q.p.inner = rng_chance(r, 60) ? 1 : rng_int(r, 1, 20);
    if (q.p.outer * q.p.inner * q.p.classes > MANY) q.p.classes = q.p.inner = 1;
    problem_draw(&q, r);
    int64_t label;
    const int64_t row = problem_first_bad(&q, &label);
    if (row >= 0) {
        expect_refusal(row, label);
    } else {
        problem_run_all(&q, NULL);
    }
}

void fuzz_counts(int64_t *checked, int64_t *told) {
    *checked = q.checked;
    *told = q.told;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs problems for the core, keeps their results, and compares them bit for bit. */
#include "problem.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char *const output_names[] = {"grad", "hess", "prob", "log_prob", "loss", "lse", "each"};

int wants(const problem *q, int output) {
    return (int)(q->outputs >> output & 1);
}

int64_t outer_of(const problem *q, int64_t row) {
    return row / q->p.inner;
}

int64_t inner_of(const problem *q, int64_t row) {
    return row % q->p.inner;
}

xn_dtype real_of(xn_dtype dtype) {
    return dtype == XN_FLOAT64 || dtype == XN_FLOAT64_TO_FLOAT32 ? XN_FLOAT64 : XN_FLOAT32;
}

xn_dtype dtype_of(const problem *q, int output) {
    if (output == EACH) return real_of(q->p.dtype);
    return output == LOSS ? q->p.loss.dtype : output == LSE ? q->p.lse.dtype : written_as(q->p.dtype);
}

int64_t width_of(const problem *q, int output) {
    return output < PLANES || output == EACH ? q->p.classes : 1;
}

/* Where an output is. */
static const field *field_of(const problem *q, int output) {
    return output == q->in_place ? &q->input : q->output + output;
}

xn_status problem_call(problem *q) {
    static xn_status (*const operations[])(xn_problem *) = {xn_softmax_ce, xn_prob_ce, xn_shaped_ce, xn_shaped_prob,
                                                            xn_binary_ce};
    for (int output = 0; output < OUTPUTS; output++)
        if (wants(q, output) && output != q->in_place)
            memset(field_of(q, output)->data, UNTOUCHED, field_of(q, output)->bytes);
    if (q->in_place >= 0) memcpy(q->input.data, q->saved, q->input.bytes);
    return operations[q->operation](&q->p);
}

static int input_is_untouched(const problem *q) {
    return q->rows == 0 || memcmp(q->input.data, q->saved, q->input.bytes) == 0;
}

int problem_is_untouched(const problem *q) {
    int untouched = input_is_untouched(q);
    for (int output = 0; output < OUTPUTS; output++)
        if (wants(q, output) && output != q->in_place) untouched &= field_untouched(q->output + output);
    return untouched;
}

void problem_run(problem *q, result into) {
    const xn_status status = problem_call(q);
    if (status != XN_OK) fail("status %d: %s", (int)status, xn_status_text(status));
    if (q->in_place < 0 && !input_is_untouched(q)) fail("the input was written");
    q->reduced[into] = q->p.reduced;
    for (int output = 0; output < OUTPUTS; output++) {
        if (!wants(q, output)) continue;
        const field *f = field_of(q, output);
        const int64_t width = width_of(q, output);
        for (int64_t row = 0; row < q->rows; row++)
            for (int64_t c = 0; c < width; c++)
                q->values[into][output][row * width + c] =
                    field_take(f, dtype_of(q, output), outer_of(q, row), c, inner_of(q, row));
        if (!field_untouched(f)) fail("%s was written outside of it", output_names[output]);
    }
}

void problem_keep(problem *q, result from, result into) {
    q->reduced[into] = q->reduced[from];
    for (int output = 0; output < OUTPUTS; output++)
        if (wants(q, output))
            memcpy(q->values[into][output], q->values[from][output],
                   (size_t)(q->rows * width_of(q, output)) * sizeof(double));
}

void problem_compare(const problem *q, result one, result other) {
    const char *what = other == BEST ? "instruction sets" : "numbers of threads";
    if (!same_bits(q->reduced[one], q->reduced[other]))
        fail("%s differ: reduced to %a and %a", what, q->reduced[one], q->reduced[other]);
    for (int output = 0; output < OUTPUTS; output++) {
        if (!wants(q, output)) continue;
        const double *a = q->values[one][output], *b = q->values[other][output];
        for (int64_t i = 0; i < q->rows * width_of(q, output); i++) {
            if (same_bits(a[i], b[i])) continue;
            fail("%s differ: %s %" PRId64 " is %a and %a (n_threads=%d)", what, output_names[output], i, a[i], b[i],
                 q->p.n_threads);
            return;
        }
    }
}

/* Of those that have the same bits, one is checked. */
void problem_run_all(problem *q, void (*also)(problem *q, int first)) {
    outcome outcomes[2];
    int known = 0, count = 0;
    for (int i = 0; xn_isa_name(i); i++) {
        if (!xn_isa_supported(i)) continue;
        if (xn_set_isa(xn_isa_name(i)) != XN_OK || strcmp(xn_isa(), xn_isa_name(i)) != 0)
            fail("cannot choose %s", xn_isa_name(i));
        const int fused = is_fused(xn_isa());
        q->p.n_threads = 1;
        problem_run(q, FIRST);
        if (fused && known) problem_compare(q, FIRST, BEST);
        if (also) also(q, !known);
        if (fused && known) continue;
        if (fused) problem_keep(q, FIRST, BEST);
        outcomes[count++] = (outcome){xn_isa(), fused ? BEST : FIRST, fused};
        known |= fused;
    }
    problem_check(q, outcomes, count);
}

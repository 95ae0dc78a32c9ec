/* SPDX-License-Identifier: BSD-3-Clause */
/* One random problem for xn_softmax_ce or xn_prob_ce: memory between guard pages, runs, and checks. */
#ifndef XN_TEST_PROBLEM_H
#define XN_TEST_PROBLEM_H

#include "field.h"
#include "truth.h"

enum { LOSS = PLANES, LSE, OUTPUTS };

/* Where the results of a run are kept. */
typedef enum { FIRST, SECOND, BEST, RESULTS } result;

typedef struct {
    xn_problem p;
    int is_prob;
    int force_labels; /* labels, of forced_type */
    xn_int_type forced_type;
    /* drawn */
    int in_place; /* the gradient overwrites the input */
    unsigned outputs;
    int64_t rows, spoilt;
    field input, target, labels, sample_weight, class_weight, output[OUTPUTS];
    /* the truth of the inputs, by row */
    double *x, *u, *weight;
    int64_t *label;
    double *values[RESULTS][OUTPUTS], reduced[RESULTS];
    int64_t room;
} problem;

void problem_draw(problem *q, rng *r);
xn_status problem_call(problem *q); /* outputs are prepared first */
void problem_run(problem *q, result into);
void problem_keep(problem *q, result from, result into);
void problem_check(problem *q, int fused);
void problem_compare(const problem *q, result one, result other);

/* Makes at least one label bad. Returns the first such row; its value is `spoilt`. */
int64_t problem_spoil(problem *q, rng *r);
int problem_is_untouched(const problem *q);

#endif

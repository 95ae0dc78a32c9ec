/* SPDX-License-Identifier: BSD-3-Clause */
/* One random problem for the core: memory between guard pages, runs on every instruction set, and checks. */
#ifndef XN_TEST_PROBLEM_H
#define XN_TEST_PROBLEM_H

#include "field.h"
#include "truth.h"

enum { LOSS = PLANES, LSE, EACH, OUTPUTS };

typedef enum { SOFTMAX, PROB_CE, SHAPED, SHAPED_PROB, BINARY, OPERATIONS } operation;

/* Where the results of a run are kept. */
typedef enum { FIRST, SECOND, BEST, RESULTS } result;

typedef struct {
    xn_problem p; /* its sizes and dtype are the caller's */
    operation operation;
    int hostile;    /* numbers may be any bits at all, and options at the ends of their ranges; */
    int bad_labels; /* so may labels */
    int force_labels; /* labels, of forced_type */
    xn_int_type forced_type;
    /* drawn */
    int in_place; /* the output that overwrites the input, or -1 */
    unsigned outputs;
    int64_t rows;
    field input, target, labels, sample_weight, class_weight, pos_weight, output[OUTPUTS];
    char *saved; /* the bytes of the input */
    /* the truth of the inputs, by row */
    double *x, *u, *weight;
    int64_t *label;
    double *values[RESULTS][OUTPUTS], reduced[RESULTS];
    int64_t room, saved_room;
    int64_t checked, told; /* by problem_check: values, and those that the truth tells anything about */
} problem;

void problem_draw(problem *q, rng *r);
xn_status problem_call(problem *q); /* outputs are prepared first */
void problem_run(problem *q, result into);
void problem_keep(problem *q, result from, result into);
void problem_compare(const problem *q, result one, result other);

/* Holds the results of some instruction sets against the truth. */
typedef struct {
    const char *isa;
    result kept;
    int fused;
} outcome;
void problem_check(problem *q, const outcome *outcomes, int count);

/* Runs on every instruction set that there is: those with a fused multiply-add have the same bits, and all are near the
 * truth. `also`, unless NULL, is called after each run, with what is in FIRST; `first` for the best instruction set. */
void problem_run_all(problem *q, void (*also)(problem *q, int first));

/* Makes at least one label bad. */
void problem_spoil(problem *q, rng *r);
int64_t problem_first_bad(const problem *q, int64_t *label); /* the row, and what it holds; -1 if there is none */
int problem_is_untouched(const problem *q);

/* What other files of the problem need: problem_draw.c. */
int wants(const problem *q, int output);
int64_t label_classes(const problem *q);
int64_t outer_of(const problem *q, int64_t row);
int64_t inner_of(const problem *q, int64_t row);
xn_dtype real_of(xn_dtype dtype);                      /* that is computed in */
xn_dtype dtype_of(const problem *q, int output);
int64_t width_of(const problem *q, int output);
int64_t problem_label(const problem *q, int64_t row); /* as it stands in memory */
void problem_describe(const problem *q);

#endif

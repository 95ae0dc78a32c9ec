/* SPDX-License-Identifier: BSD-3-Clause */
/* One random tile for a kernel: memory between guard pages, runs on several instruction sets, a check of
 * every output against the truth. */
#ifndef XN_TEST_SPECIMEN_H
#define XN_TEST_SPECIMEN_H

#include "field.h"
#include "kernels.h"
#include "truth.h"

/* What a kernel can be asked for. The planes come first, in the order of truth.h. */
enum { LOSS = PLANES, LSE, OUTPUTS };

typedef enum { NO_TARGETS, LABELS, DENSE } target_kind;

typedef struct {
    /* what is asked for */
    const char *kernel;
    int is_prob;  /* probabilities, not logits */
    int shape;    /* of kernels.h: what a class adds to the loss */
    xn_dtype dtype;
    int64_t rows, classes;
    unsigned outputs; /* bits */
    uint64_t seed;
    /* what was drawn */
    target_kind kind;
    int one_hot, smoothed, class_weighted, some_dropped;
    int in_place; /* the output that overwrites the input, or -1 */
    /* where it is; label, weight, loss and lse have one class, class_weight one row */
    field input, target, label, weight, class_weight, output[OUTPUTS];
    xn_tile tile;
    /* what went in, and what came out of each ISA: [rows * classes], or [rows] */
    long double *x, *u;
    double *result[MOST_ISAS][OUTPUTS];
    int64_t room;
} specimen;

/* Draws everything that the first group of fields leaves open, and writes the inputs. */
void specimen_draw(specimen *s);
void specimen_describe(const specimen *s, const char *isa);

/* Around a run: outputs and, in place, the input are prepared; then results are taken and stray writes
 * looked for. */
void specimen_prepare(specimen *s);
void specimen_collect(specimen *s, int isa);

/* Compares the results of one ISA with the truth, or those of two ISAs bit for bit. */
void specimen_check(specimen *s, int isas, const char *const *names);
void specimen_compare(const specimen *s, int one, int other, const char *what);

/* The truth of one row; its planes are the caller's. */
truth specimen_truth(const specimen *s, int64_t row);

int64_t specimen_label(const specimen *s, int64_t row); /* -1: no labels */
double specimen_weight(const specimen *s, int64_t row);
int specimen_wants(const specimen *s, int output);

void print_worst(void); /* the largest errors that were seen, as fractions of their bounds */

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* The fuzz targets: functions of some bytes, which fail() where something is wrong. */
#ifndef XN_FUZZ_H
#define XN_FUZZ_H

#include "../c/harness.h"

void fuzz_softmax(rng *r);
void fuzz_prob(rng *r);
void fuzz_shaped(rng *r);
void fuzz_shaped_prob(rng *r);
void fuzz_binary(rng *r);
void fuzz_long_rows(rng *r);
void fuzz_labels(rng *r);
void fuzz_arguments(rng *r);
void fuzz_interface(rng *r);
void fuzz_score(rng *r);
void fuzz_books(rng *r);

typedef struct {
    const char *name;
    void (*run)(rng *r); /* decisions and bits are those of the input, as long as there are any */
} fuzz_target;

extern const fuzz_target fuzz_targets[]; /* a NULL name ends the list */

/* What the targets that compare results have compared, and how much of that the truth tells anything about. */
void fuzz_counts(int64_t *checked, int64_t *told);

/* Its parts: values, and rows. */
void fuzz_problem_counts(int64_t *checked, int64_t *told);
void fuzz_score_counts(int64_t *checked, int64_t *told);
void fuzz_book_counts(int64_t *checked, int64_t *told);

#endif

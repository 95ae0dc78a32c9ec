/* SPDX-License-Identifier: BSD-3-Clause */
/* Arrays of a test: up to three dimensions with any strides, between guard pages. */
#ifndef XN_TEST_FIELD_H
#define XN_TEST_FIELD_H

#include "harness.h"
#include "xent.h"

/* Element (i, j, k) is at origin + (i * step[0] + j * step[1] + k * step[2]) * element. */
typedef struct {
    arena memory;
    char *data; /* the lowest address */
    size_t bytes, element;
    char *origin;
    int64_t step[3];
} field;

/* Finds a place against a guard page, or at any alignment; everything is UNTOUCHED. No size may be 0. */
void field_place(rng *r, field *f, size_t element, const int64_t size[3], const int64_t step[3]);
char *field_at(const field *f, int64_t i, int64_t j, int64_t k);

/* Elements as double; field_take leaves UNTOUCHED behind, so that what remains shows stray writes. */
void field_put(const field *f, xn_dtype dtype, int64_t i, int64_t j, int64_t k, double value);
double field_get(const field *f, xn_dtype dtype, int64_t i, int64_t j, int64_t k);
double field_take(const field *f, xn_dtype dtype, int64_t i, int64_t j, int64_t k);
int field_untouched(const field *f);

/* An element's own bits, whatever it is; those above its size are dropped, or 0. */
void field_put_bits(const field *f, int64_t i, int64_t j, int64_t k, uint64_t bits);
uint64_t field_get_bits(const field *f, int64_t i, int64_t j, int64_t k);

size_t dtype_size(xn_dtype dtype);
xn_dtype written_as(xn_dtype dtype); /* what outputs with classes are, of a problem of this dtype */
int same_bits(double a, double b); /* NaN is one value */
void *resized(void *memory, int64_t count, size_t element); /* realloc, or the end */

/* Fills a row of logits or probabilities, of one of many kinds: rows.c. */
void draw_row(rng *r, int is_prob, xn_dtype dtype, int64_t classes, double *x);

#endif

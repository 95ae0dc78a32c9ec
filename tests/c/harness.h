/* SPDX-License-Identifier: BSD-3-Clause */
/* What the C tests share: random numbers, failures with their parameters, memory between guard pages. */
#ifndef XN_TEST_HARNESS_H
#define XN_TEST_HARNESS_H

#include <stddef.h>
#include <stdint.h>

/* splitmix64: small, and the same numbers on every machine. Choices and bits come from `bytes` while there are any
 * left: so a fuzzer decides. */
typedef struct {
    uint64_t state;
    const uint8_t *bytes;
    size_t left;
} rng;

rng rng_of(uint64_t seed);
rng rng_of_bytes(const uint8_t *bytes, size_t size); /* the first four are the seed */
rng rng_fork(rng *r);                                /* random numbers alone, from one choice of 16 bits */
uint64_t rng_next(rng *r);                           /* never from the bytes, and so rng_unit and rng_normal */
uint64_t rng_bits(rng *r);
int64_t rng_int(rng *r, int64_t low, int64_t high); /* both ends included */
double rng_unit(rng *r);                            /* [0, 1) */
double rng_normal(rng *r);                          /* about standard normal, within 6 */
int rng_chance(rng *r, int percent);

/* What is being run now: printed with every failure, and by the handler of SIGSEGV and SIGBUS. */
void describe(const char *format, ...) __attribute__((format(printf, 1, 2)));
void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
int failure_count(void);
int finish_tests(const char *what); /* prints the count; what main() returns */
void install_crash_handler(void);

/* Memory with an inaccessible page on each side. Grows when asked for more. With AddressSanitizer, what is next to the
 * array that stands there is inaccessible, too. */
typedef struct {
    char *low, *high;
    char *data, *end; /* of the array */
} arena;

/* Where an array stands: against the page before, against the page after, or some elements from the start,
 * so that every alignment that suits the element occurs. */
typedef enum { AT_START, AT_END, INSIDE } placement;

enum {
    MARGIN = 256, /* bytes around an array that are checked for stray writes, where the guard page is not next to it */
    UNTOUCHED = 0xff /* fills everything that is not input: as floats NaN, so that what is read by mistake shows */
};

/* Places `bytes` bytes, and fills them and the margins with UNTOUCHED. */
char *arena_place(arena *a, size_t bytes, placement where, size_t shift);

/* Whether the array and its margins hold UNTOUCHED alone. */
int arena_untouched(const arena *a);

#endif

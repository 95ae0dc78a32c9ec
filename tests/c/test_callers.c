/* SPDX-License-Identifier: BSD-3-Clause */
/* Several threads of a caller in the core at once: first its start, then problems of every kind that share what they
 * read, with 1 to 8 threads each, while others ask and change settings; then a forked child. Results have the bits of
 * one thread alone.
 *
 *     xent_test_callers [rounds] */
#define _DEFAULT_SOURCE 1
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "field.h"

enum { CALLERS = 6, MOST_CALLERS = 8, SECONDS = 60 }; /* after which a child hangs: it takes less than one */

typedef enum { SOFTMAX, PROB, BINARY, SHAPED, SHAPED_PROB } operation;

static const struct {
    const char *name;
    operation operation;
    xn_dtype dtype;
    int64_t outer, classes, inner;
} works[] = {
    {"few classes", SOFTMAX, XN_FLOAT32, 9000, 10, 1},
    {"rows", SOFTMAX, XN_FLOAT64, 400, 300, 1},
    {"columns", SOFTMAX, XN_FLOAT32, 3, 40, 800},
    {"long rows, which need scratch", SOFTMAX, XN_FLOAT32, 17, 40000, 1},
    {"two wide rows", SOFTMAX, XN_FLOAT32, 2, 140001, 1},
    {"probabilities", PROB, XN_FLOAT32, 900, 130, 1},
    {"binary", BINARY, XN_FLOAT64, 9000, 7, 1},
    {"binary, long rows", BINARY, XN_FLOAT32, 2, 140001, 1},
    {"focal", SHAPED, XN_FLOAT32, 900, 130, 1},
    {"poly1 columns", SHAPED, XN_FLOAT64, 1, 30, 4000},
    {"divergence", SHAPED_PROB, XN_FLOAT32, 900, 130, 1},
};
enum { WORKS = sizeof works / sizeof works[0] };

/* What all callers read. */
static struct {
    void *input, *target;
    int32_t *labels;
    float *weight;
} shared[WORKS];

/* What a caller writes. */
typedef struct {
    double *loss;
    void *grad;
    double reduced;
} results;

static results expected[WORKS];

static int64_t elements(int w) {
    return works[w].outer * works[w].classes * works[w].inner;
}

static int64_t rows(int w) {
    return works[w].outer * works[w].inner;
}

static results make_results(int w) {
    results r = {resized(NULL, rows(w), sizeof(double)), resized(NULL, elements(w), dtype_size(works[w].dtype)), 0};
    return r;
}

static void make_input(int w, rng *r) {
    const int64_t n = elements(w), size = (int64_t)dtype_size(works[w].dtype);
    const int logits = works[w].operation == SOFTMAX || works[w].operation == BINARY || works[w].operation == SHAPED;
    void *arrays[2];
    for (int which = 0; which < 2; which++) {
        arrays[which] = resized(NULL, n, (size_t)size);
        for (int64_t i = 0; i < n; i++) {
            const double value = which == 0 && logits ? 3 * rng_normal(r) : rng_unit(r);
            if (size == 8) ((double *)arrays[which])[i] = value;
            if (size == 4) ((float *)arrays[which])[i] = (float)value;
        }
    }
    shared[w].input = arrays[0];
    shared[w].target = arrays[1];
    shared[w].labels = resized(NULL, rows(w), sizeof(int32_t));
    shared[w].weight = resized(NULL, rows(w), sizeof(float));
    for (int64_t i = 0; i < rows(w); i++) {
        shared[w].labels[i] = rng_chance(r, 5) ? -100 : (int32_t)rng_int(r, 0, works[w].classes - 1);
        shared[w].weight[i] = (float)rng_unit(r);
    }
}

static xn_status run(int w, int threads, results *to) {
    const operation what = works[w].operation;
    const int64_t inner = works[w].inner, per_outer = works[w].classes * inner;
    xn_problem p = {.outer = works[w].outer, .classes = works[w].classes, .inner = inner, .dtype = works[w].dtype};
    p.classes_last = inner == 1;
    p.input = (xn_array){shared[w].input, per_outer, inner, 1};
    p.grad = (xn_array){to->grad, per_outer, inner, 1};
    p.loss = (xn_row_array){to->loss, XN_FLOAT64, inner, 1};
    p.sample_weight = (xn_row_array){shared[w].weight, XN_FLOAT32, inner, 1};
    if (what == BINARY || what == SHAPED_PROB) {
        p.target = (xn_array){shared[w].target, per_outer, inner, 1};
    } else {
        p.labels = (xn_labels){shared[w].labels, XN_INT32, inner, 1};
    }
    p.has_ignored = 1;
    p.ignored = -100;
    p.epsilon = 1e-7;
    p.reduction = XN_WEIGHTED_MEAN;
    p.shape = what == SHAPED_PROB ? XN_KL : what != SHAPED ? XN_PLAIN : inner == 1 ? XN_FOCAL : XN_POLY1;
    p.coefficient = 2;
    p.alpha = 0.25;
    p.n_threads = threads;
    static xn_status (*const calls[])(xn_problem *) = {xn_softmax_ce, xn_prob_ce, xn_binary_ce, xn_shaped_ce,
                                                       xn_shaped_prob};
    memset(to->loss, UNTOUCHED, (size_t)rows(w) * sizeof(double));
    memset(to->grad, UNTOUCHED, (size_t)elements(w) * dtype_size(works[w].dtype));
    const xn_status status = calls[what](&p);
    to->reduced = p.reduced;
    return status;
}

static int same_results(int w, const results *a, const results *b) {
    return memcmp(a->loss, b->loss, (size_t)rows(w) * sizeof(double)) == 0 &&
           memcmp(a->grad, b->grad, (size_t)elements(w) * dtype_size(works[w].dtype)) == 0 &&
           memcmp(&a->reduced, &b->reduced, sizeof a->reduced) == 0;
}

/* A thread of the caller. Failures are counted here, and reported by main(). */
typedef struct {
    int id, rounds;
    const char *isa;
    int threads, wrong[WORKS], wrong_settings;
    results own[WORKS];
    pthread_t thread;
} caller;

static pthread_barrier_t start;
static atomic_int working, calls;

/* The first calls of a process may come from anywhere. */
static void *start_up(void *argument) {
    caller *c = argument;
    pthread_barrier_wait(&start);
    if (c->id % 2) xn_init();
    c->isa = xn_isa();
    c->threads = xn_max_threads();
    return NULL;
}

static void *compute(void *argument) {
    caller *c = argument;
    pthread_barrier_wait(&start);
    for (int round = 0; round < c->rounds; round++)
        for (int i = 0; i < WORKS; i++) {
            const int w = (c->id + i) % WORKS, threads = (c->id + i + round) % 9; /* 0: the default */
            if (run(w, threads, &c->own[w]) != XN_OK || !same_results(w, &c->own[w], expected + w)) c->wrong[w]++;
            atomic_fetch_add(&calls, 1);
        }
    atomic_fetch_sub(&working, 1);
    return NULL;
}

/* Settings are asked for, and the instruction set goes to and fro among those that have the same bits. */
static void *change_settings(void *argument) {
    caller *c = argument;
    pthread_barrier_wait(&start);
    while (atomic_load(&working) > 0) {
        for (int i = 0; xn_isa_name(i); i++) {
            if (!xn_isa_supported(i) || strcmp(xn_isa_name(i), "baseline") == 0) continue;
            if (xn_set_isa(xn_isa_name(i)) != XN_OK) c->wrong_settings++;
        }
        if (xn_max_threads() != c->threads || xn_threads(3) < 1 || xn_threads(1 << 30) < 1) c->wrong_settings++;
        if (!xn_isa() || !xn_kernel_name(0) || xn_set_isa("none") != XN_UNKNOWN_ISA) c->wrong_settings++;
    }
    return NULL;
}

static caller callers[MOST_CALLERS];

static void at_once(int count, void *(*job)(void *), int others, void *(*other)(void *)) {
    describe("%d threads of the caller, and %d that change settings", count, others);
    pthread_barrier_init(&start, NULL, (unsigned)(count + others));
    atomic_store(&working, count);
    for (int i = 0; i < count + others; i++)
        if (pthread_create(&callers[i].thread, NULL, i < count ? job : other, callers + i) != 0) {
            fprintf(stderr, "no thread for a test\n");
            exit(1);
        }
    for (int i = 0; i < count + others; i++) pthread_join(callers[i].thread, NULL);
    pthread_barrier_destroy(&start);
}

static void check_start(void) {
    at_once(MOST_CALLERS, start_up, 0, NULL);
    for (int i = 1; i < MOST_CALLERS; i++)
        if (callers[i].isa != callers[0].isa || callers[i].threads != callers[0].threads)
            fail("%s and %d threads, but %s and %d", callers[0].isa, callers[0].threads, callers[i].isa,
                 callers[i].threads);
}

static void check_computing(void) {
    for (int count = 2; count <= CALLERS; count += 2) {
        at_once(count, compute, 2, change_settings);
        for (int i = 0; i < count + 2; i++) {
            if (callers[i].wrong_settings) fail("caller %d: %d wrong settings", i, callers[i].wrong_settings);
            for (int w = 0; w < WORKS; w++) {
                if (callers[i].wrong[w]) fail("caller %d: %d times wrong: %s", i, callers[i].wrong[w], works[w].name);
                callers[i].wrong[w] = 0;
            }
        }
    }
}

/* OpenMP of some makers would wait for ever in a child whose parent has used it. */
static void check_forked_child(void) {
    describe("a forked child");
    if (run(0, 4, &callers[0].own[0]) != XN_OK) fail("refused"); /* this thread has a team now */
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        alarm(SECONDS);
        const int good = run(0, 4, &callers[0].own[0]) == XN_OK && same_results(0, &callers[0].own[0], expected);
        _exit(good ? 0 : 1);
    }
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child) fail("no child for a test");
    if (WIFSIGNALED(status)) fail("it was ended by signal %d; %d is that of its time-out", WTERMSIG(status), SIGALRM);
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) fail("wrong results");
}

int main(int argc, char **argv) {
    const int rounds = argc > 1 ? atoi(argv[1]) : 3;
    rng r = rng_of(20240501);
    install_crash_handler();
    for (int i = 0; i < MOST_CALLERS; i++) {
        callers[i].id = i;
        callers[i].rounds = rounds;
        for (int w = 0; w < WORKS; w++) callers[i].own[w] = make_results(w);
    }
    check_start();
    for (int w = 0; w < WORKS; w++) {
        make_input(w, &r);
        expected[w] = make_results(w);
        describe("%s, in one thread", works[w].name);
        if (run(w, 1, expected + w) != XN_OK) fail("refused");
        if (!isfinite(expected[w].reduced)) fail("reduced to %g", expected[w].reduced);
    }
    check_computing();
    check_forked_child();
    printf("OpenMP %s, %s, 8 threads come to %d; %d calls at once\n", xn_has_openmp() ? "on" : "off", xn_isa(),
           xn_threads(8), atomic_load(&calls));
    return finish_tests("callers");
}

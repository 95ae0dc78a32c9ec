/* SPDX-License-Identifier: BSD-3-Clause */
/* How many threads a call gets: what it asks for, what the machine and the control groups allow, what a forked process
 * may have, and what the system really creates. */
#include "core.h"

#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(_OPENMP) && !defined(_WIN32)
#define XN_PTHREADS 1
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#endif
#ifdef __linux__
#include <sys/syscall.h>
#endif

enum {
    MOST_THREADS_AT_LEAST = 8,  /* a caller may ask for more threads than there are CPUs, but not for any number */
    LEAST_STACK = 1 << 18,      /* bytes: what the kernels keep on the stack, and as much again */
    SPARE = 1, /* threads that a trial must find room for beside those that are wanted: others start some, too */
    REGIONS_UNTRIED = 64, /* after a refusal: so many regions run with what there is before the next trial */
    GONE_TRIES = 2000 /* looks at whether a thread has left the system, 50 us apart */
};

int xn_has_openmp(void) {
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

#ifndef _OPENMP

void xn_init(void) {
}

int xn_max_threads(void) {
    return 1;
}

int xn_threads(int asked) {
    (void)asked;
    return 1;
}

int xn_open_team(int wanted) {
    (void)wanted;
    return 1;
}

void xn_team_is_open(int size) {
    (void)size;
}

#else

static int quota; /* CPUs that the control groups allow; 0: no limit known. Read once: containers change it rarely */

#ifdef XN_PTHREADS

/* GNU's OpenMP deadlocks in a forked child whose parent has run a parallel region: the child stays serial. */
static int forked;
static size_t stack_size; /* of the threads that OpenMP starts; 0: the system's default */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void after_fork(void) {
    forked = 1;
}

/* OMP_STACKSIZE: a number and B, K, M or G; K if none is given. 0 if it says nothing. OpenMP has read it before. */
static size_t asked_stack_size(void) {
    const char *text = getenv("OMP_STACKSIZE");
    if (!text) text = getenv("GOMP_STACKSIZE");
    if (!text) return 0;
    char *end;
    errno = 0;
    const unsigned long long number = strtoull(text, &end, 10);
    if (end == text || errno) return 0;
    while (*end == ' ' || *end == '\t') end++;
    int shift = 10;
    switch (*end | 32) {
        case 'b': shift = 0; break;
        case 'k': shift = 10; break;
        case 'm': shift = 20; break;
        case 'g': shift = 30; break;
    }
    return number > SIZE_MAX >> shift ? 0 : (size_t)number << shift;
}

static void prepare(void) {
    quota = xn_read_quota("");
    stack_size = asked_stack_size();
    pthread_atfork(NULL, NULL, after_fork);
}

void xn_init(void) {
    pthread_once(&once, prepare);
}

static int is_forked(void) {
    xn_init(); /* in case that the caller did not */
    return forked;
}

#else

void xn_init(void) {
}

static int is_forked(void) {
    return 0;
}

#endif

static int least(int a, int b) {
    return a < b ? a : b;
}

int xn_max_threads(void) {
    if (is_forked()) return 1;
    return quota > 0 ? least(quota, omp_get_max_threads()) : omp_get_max_threads();
}

int xn_threads(int asked) {
    if (is_forked()) return 1;
    if (omp_get_active_level() >= omp_get_max_active_levels()) return 1; /* the caller's own region has the CPUs */
    const int threads = asked > 0 ? asked : xn_max_threads(), cpus = omp_get_num_procs();
    const int most = cpus < MOST_THREADS_AT_LEAST ? MOST_THREADS_AT_LEAST : cpus;
    return least(least(threads, most), omp_get_thread_limit());
}

#ifdef XN_PTHREADS

/* A thread that cannot be created is the end of the process: GNU's OpenMP calls exit, LLVM's aborts. So threads are
 * created for trial before a region may need new ones, all at once as OpenMP would have them, and a region asks for no
 * more than there was room for. OpenMP keeps the threads of a region for the next region of the same thread, and ends
 * those that the next one does not need: `kept` counts them. Regions inside of another one get new threads. */
static _Thread_local int kept;
static _Thread_local int untried; /* regions until the next trial, after a refusal */

/* Held from a trial until its region has its threads: else two callers could count on the same room. */
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local int holds;

typedef struct {
    pthread_t thread;
    pthread_mutex_t *gate;
    long id; /* the system's */
} trial;

static void *wait_at_gate(void *context) {
    trial *t = context;
#ifdef __linux__
    t->id = syscall(SYS_gettid);
#endif
    pthread_mutex_lock(t->gate);
    pthread_mutex_unlock(t->gate);
    return NULL;
}

/* A joined thread may count against the limits of its user for a moment longer. */
static int wait_until_gone(const trial *t) {
#ifdef __linux__
    const struct timespec pause = {0, 50000};
    for (int i = 0; i < GONE_TRIES; i++) {
        if (syscall(SYS_tgkill, getpid(), t->id, 0) != 0) return 1;
        nanosleep(&pause, NULL);
    }
    return 0;
#else
    (void)t;
    return 1;
#endif
}

static int has_attributes(pthread_attr_t *attributes) {
    size_t size;
    if (pthread_attr_init(attributes) != 0) return 0;
    if (stack_size) pthread_attr_setstacksize(attributes, stack_size); /* fails for OpenMP as it does here */
    if (pthread_attr_getstacksize(attributes, &size) == 0 && size >= LEAST_STACK) return 1;
    pthread_attr_destroy(attributes);
    return 0;
}

/* How many of `wanted` further threads there is room for. */
static int room_for(int wanted) {
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    pthread_attr_t attributes;
    trial *trials = malloc((size_t)(wanted + SPARE) * sizeof *trials);
    int made = 0, gone = 1;
    if (trials && has_attributes(&attributes)) {
        pthread_mutex_lock(&gate);
        for (; made < wanted + SPARE; made++) {
            trials[made].gate = &gate;
            if (pthread_create(&trials[made].thread, &attributes, wait_at_gate, trials + made) != 0) break;
        }
        pthread_mutex_unlock(&gate);
        for (int i = 0; i < made; i++) pthread_join(trials[i].thread, NULL);
        for (int i = 0; i < made; i++) gone &= wait_until_gone(trials + i);
        pthread_attr_destroy(&attributes);
    }
    free(trials);
    return gone && made > SPARE ? made - SPARE : 0;
}

int xn_open_team(int wanted) {
    const int nested = omp_get_level() > 0, there = nested || kept < 1 ? 1 : kept;
    if (wanted <= there) return wanted;
    if (untried > 0) {
        untried--;
        return there;
    }
    pthread_mutex_lock(&opening);
    const int size = there + room_for(wanted - there);
    untried = size < wanted ? REGIONS_UNTRIED : 0;
    holds = size > there;
    if (!holds) pthread_mutex_unlock(&opening);
    return size;
}

void xn_team_is_open(int size) {
    if (omp_get_level() == 1) kept = size;
    if (holds) pthread_mutex_unlock(&opening);
    holds = 0;
}

#else

int xn_open_team(int wanted) {
    return wanted;
}

void xn_team_is_open(int size) {
    (void)size;
}

#endif
#endif

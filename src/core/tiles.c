/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads: the only parallel region of the library. */
#include <stdatomic.h>

#include "core.h"

#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(_OPENMP) && !defined(_WIN32)
#define XN_GUARDS_FORK 1
#include <pthread.h>
#endif
#ifdef __linux__
#include <stdio.h>
#include <string.h>
#endif

enum {
    SERIAL_ELEMENTS = 40000,    /* below this a region costs more than it saves: it takes about 14 us to open */
    ASK_ELEMENTS = 1 << 22,     /* a thread's work between two looks at `interrupted`: at most tens of milliseconds */
    MOST_THREADS_AT_LEAST = 8   /* a caller may ask for more threads than there are CPUs, but not for any number */
};

int xn_has_openmp(void) {
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

#ifdef _OPENMP

/* CPUs that the cgroup's quota allows, rounded up; OpenMP does not ask. 0: no limit known. */
static int read_quota(void) {
    int cpus = 0;
#ifdef __linux__
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "r");
    long long quota, period;
    if (file) {
        if (fscanf(file, "%lld %lld", &quota, &period) == 2 && quota > 0 && period > 0)
            cpus = (int)((quota + period - 1) / period < 4096 ? (quota + period - 1) / period : 4096);
        fclose(file);
    }
#endif
    return cpus;
}

#ifdef XN_GUARDS_FORK
/* GNU's OpenMP deadlocks in a forked child whose parent has run a parallel region: the child stays serial. */
static int forked;
static int quota;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void after_fork(void) {
    forked = 1;
}

static void prepare(void) {
    quota = read_quota();
    pthread_atfork(NULL, NULL, after_fork);
}

void xn_init(void) {
    pthread_once(&once, prepare);
}

static int cpus_allowed(void) {
    xn_init(); /* in case that the caller did not */
    return forked ? 1 : quota;
}
#else
void xn_init(void) {
}

static int cpus_allowed(void) {
    return read_quota();
}
#endif

int xn_max_threads(void) {
    const int openmp = omp_get_max_threads(), allowed = cpus_allowed();
    return allowed > 0 && allowed < openmp ? allowed : openmp;
}

int xn_threads(int asked) {
    if (cpus_allowed() == 1) return 1;
    const int threads = asked > 0 ? asked : xn_max_threads(), cpus = omp_get_num_procs();
    const int most = cpus < MOST_THREADS_AT_LEAST ? MOST_THREADS_AT_LEAST : cpus;
    return threads < most ? threads : most;
}

static int threads_for(const xn_work *work) {
    if (work->jobs < 2 || work->jobs * work->elements_per_job < SERIAL_ELEMENTS) return 1;
    const int threads = xn_threads(work->n_threads);
    return threads < work->jobs ? threads : (int)work->jobs;
}

#else

void xn_init(void) {
}

int xn_max_threads(void) {
    return 1;
}

int xn_threads(int asked) {
    (void)asked;
    return 1;
}

static int threads_for(const xn_work *work) {
    (void)work;
    return 1;
}

#endif

/* Work in progress. Only the calling thread asks `interrupted`, and only between its own jobs: nobody waits
 * for it, as the threads would at the end of a parallel region. */
typedef struct {
    const xn_work *work;
    xn_job *job;
    void *context;
    int64_t unasked; /* elements that the calling thread has done since it asked */
    atomic_int stop;
} crew;

static void run_one(crew *c, int64_t job, int thread) {
    if (atomic_load_explicit(&c->stop, memory_order_relaxed)) return;
    c->job(c->context, job, thread);
    if (thread != 0 || !c->work->interrupted) return;
    c->unasked += c->work->elements_per_job;
    if (c->unasked < ASK_ELEMENTS) return;
    c->unasked = 0;
    if (c->work->interrupted()) atomic_store_explicit(&c->stop, 1, memory_order_relaxed);
}

xn_status xn_run_jobs(xn_work work, xn_job *job, void *context) {
    crew c = {.work = &work, .job = job, .context = context};
    const int threads = threads_for(&work);
#ifdef _OPENMP
    if (threads > 1) {
#pragma omp parallel for schedule(dynamic) num_threads(threads)
        for (int64_t i = 0; i < work.jobs; i++) run_one(&c, i, omp_get_thread_num());
    }
#endif
    for (int64_t i = 0; threads == 1 && i < work.jobs; i++) run_one(&c, i, 0);
    return atomic_load(&c.stop) ? XN_INTERRUPTED : XN_OK;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Jobs on threads: the only parallel region of the library, and how a long call is interrupted. */
#include <stdatomic.h>

#include "core.h"

#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(_OPENMP) && !defined(_WIN32)
#define XN_WAITS 1
#include <pthread.h>
#include <time.h>
#ifdef __APPLE__ /* where a condition knows no other clock */
#define XN_CLOCK CLOCK_REALTIME
#else
#define XN_CLOCK CLOCK_MONOTONIC
#endif
#endif

enum {
    SERIAL_ELEMENTS = 40000, /* below this a region costs more than it saves: it takes about 14 us to open */
    ASK_ELEMENTS = 1 << 17,  /* a thread's work between two looks at `interrupted`: at most tens of milliseconds */
    LONG_JOB = 1 << 20,      /* elements from which on the caller does not wait for other threads without asking, */
    ASK_NANOSECONDS = 20000000 /* but at such intervals */
};

/* Work in progress. Only the calling thread asks `interrupted`. The others see `stop`. */
typedef struct {
    const xn_work *work;
    xn_job *job;
    void *context;
    atomic_int stop;
    atomic_llong next; /* the job that nobody has taken yet */
#ifdef XN_WAITS
    pthread_mutex_t lock; /* of `finished`, */
    pthread_cond_t all;   /* which `all` says has reached all other threads */
    int finished;
#endif
} crew;

struct xn_worker {
    int thread;
    crew *crew;
    int64_t unasked; /* elements that the calling thread has done since it asked */
};

int xn_worker_thread(const xn_worker *worker) {
    return worker->thread;
}

static void ask(crew *c) {
    if (c->work->interrupted()) atomic_store_explicit(&c->stop, 1, memory_order_relaxed);
}

int xn_worker_stops(xn_worker *worker, int64_t elements) {
    crew *c = worker->crew;
    if (worker->thread == 0 && c->work->interrupted) {
        worker->unasked += elements;
        if (worker->unasked >= ASK_ELEMENTS) {
            worker->unasked = 0;
            ask(c);
        }
    }
    return atomic_load_explicit(&c->stop, memory_order_relaxed);
}

/* Takes jobs until there are none left: there may be millions, so that a stop leaves them at once. */
static void work(xn_worker *worker) {
    crew *c = worker->crew;
    while (!atomic_load_explicit(&c->stop, memory_order_relaxed)) {
        const int64_t job = atomic_fetch_add_explicit(&c->next, 1, memory_order_relaxed);
        if (job >= c->work->jobs) return;
        c->job(c->context, job, worker);
    }
}

#ifdef _OPENMP

/* A long job of another thread may go on when the caller has none left. At the region's end nobody would ask. */
static void finish(crew *c, int thread, int threads) {
#ifdef XN_WAITS
    if (!c->work->interrupted || c->work->elements_per_job < LONG_JOB) return;
    pthread_mutex_lock(&c->lock);
    if (thread > 0) {
        if (++c->finished == threads - 1) pthread_cond_signal(&c->all);
    } else {
        while (c->finished < threads - 1 && !atomic_load_explicit(&c->stop, memory_order_relaxed)) {
            struct timespec until;
            clock_gettime(XN_CLOCK, &until);
            until.tv_nsec += ASK_NANOSECONDS;
            until.tv_sec += until.tv_nsec / 1000000000;
            until.tv_nsec %= 1000000000;
            if (pthread_cond_timedwait(&c->all, &c->lock, &until) == 0) continue;
            pthread_mutex_unlock(&c->lock);
            ask(c);
            pthread_mutex_lock(&c->lock);
        }
    }
    pthread_mutex_unlock(&c->lock);
#else
    (void)c, (void)thread, (void)threads;
#endif
}

#ifdef XN_WAITS
static void start_waits(crew *c) {
    pthread_mutex_init(&c->lock, NULL);
#ifdef __APPLE__
    pthread_cond_init(&c->all, NULL);
#else /* a clock that nobody sets: a wait of 20 ms could else become one of hours */
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, XN_CLOCK);
    pthread_cond_init(&c->all, &attributes);
    pthread_condattr_destroy(&attributes);
#endif
}
#endif

static void run_team(crew *c, int threads) {
#ifdef XN_WAITS
    start_waits(c);
#endif
#pragma omp parallel num_threads(threads)
    {
        xn_worker worker = {.thread = omp_get_thread_num(), .crew = c};
        const int team = omp_get_num_threads();
        if (worker.thread == 0) xn_team_is_open(team);
        work(&worker);
        finish(c, worker.thread, team);
    }
#ifdef XN_WAITS
    pthread_cond_destroy(&c->all);
    pthread_mutex_destroy(&c->lock);
#endif
}

static int threads_for(const xn_work *w) {
    if (w->jobs < 2 || w->jobs * w->elements_per_job < SERIAL_ELEMENTS) return 1;
    const int threads = xn_threads(w->n_threads);
    return xn_open_team(threads < w->jobs ? threads : (int)w->jobs);
}

#endif

xn_status xn_run_jobs(xn_work all, xn_job *job, void *context) {
    crew c = {.work = &all, .job = job, .context = context};
#ifdef _OPENMP
    const int threads = threads_for(&all);
    if (threads > 1) {
        run_team(&c, threads);
        return atomic_load(&c.stop) ? XN_INTERRUPTED : XN_OK;
    }
#endif
    xn_worker worker = {.thread = 0, .crew = &c};
    work(&worker);
    return atomic_load(&c.stop) ? XN_INTERRUPTED : XN_OK;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Random numbers, failures with their parameters, memory between guard pages. */
#define _DEFAULT_SOURCE 1
#define _DARWIN_C_SOURCE 1
#include "harness.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ADDRESS_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(HAS_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#define SANITIZER_OPEN(at, size) __asan_unpoison_memory_region(at, size)
#define SANITIZER_CLOSE(at, size) __asan_poison_memory_region(at, size)
#else
#define SANITIZER_OPEN(at, size) ((void)(at), (void)(size))
#define SANITIZER_CLOSE(at, size) ((void)(at), (void)(size))
#endif

enum { MOST_FAILURES = 20, HANDLER_STACK = 65536 };

static char current[1024] = "nothing yet";
static int failures;

rng rng_of(uint64_t seed) {
    return (rng){.state = seed};
}

/* The next bytes as a number, little-endian on every machine; random where there are too few. */
static uint64_t take(rng *r, size_t size) {
    uint64_t value = 0;
    if (r->left < size) {
        r->left = 0;
        return rng_next(r);
    }
    for (size_t i = 0; i < size; i++) value |= (uint64_t)r->bytes[i] << (8 * i);
    r->bytes += size;
    r->left -= size;
    return value;
}

rng rng_of_bytes(const uint8_t *bytes, size_t size) {
    rng r = {.bytes = bytes, .left = size};
    r.state = size < 4 ? size : take(&r, 4);
    return r;
}

rng rng_fork(rng *r) {
    return rng_of(rng_next(r) ^ take(r, 2) << 32);
}

uint64_t rng_bits(rng *r) {
    return take(r, 8);
}

uint64_t rng_next(rng *r) {
    uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

int64_t rng_int(rng *r, int64_t low, int64_t high) {
    const uint64_t range = (uint64_t)(high - low + 1);
    return low + (int64_t)(take(r, range <= 1 << 8 ? 1 : range <= 1 << 16 ? 2 : 8) % range);
}

double rng_unit(rng *r) {
    return (double)(rng_next(r) >> 11) * 0x1p-53;
}

double rng_normal(rng *r) {
    double sum = -6;
    for (int i = 0; i < 12; i++) sum += rng_unit(r);
    return sum;
}

int rng_chance(rng *r, int percent) {
    return rng_int(r, 1, 100) <= percent;
}

void describe(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(current, sizeof current, format, args);
    va_end(args);
}

void fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "FAIL: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n  in: %s\n", current);
    va_end(args);
    if (++failures >= MOST_FAILURES) {
        fprintf(stderr, "too many failures: giving up\n");
        exit(1);
    }
}

int failure_count(void) {
    return failures;
}

int finish_tests(const char *what) {
    printf("%s: %d failures\n", what, failures);
    return failures != 0;
}

/* Only what a signal handler may call. */
static void on_crash(int signal_number, siginfo_t *info, void *context) {
    (void)context;
    static const char first[] = "FAIL: a bad address was read or written, against a guard page (address ends in ";
    static const char second[] = ")\n  in: ";
    char digits[3];
    const uintptr_t address = (uintptr_t)info->si_addr;
    for (int i = 0; i < 3; i++) digits[i] = "0123456789abcdef"[(address >> (8 - 4 * i)) & 15];
    ssize_t written = write(2, first, sizeof first - 1);
    written += write(2, digits, sizeof digits);
    written += write(2, second, sizeof second - 1);
    written += write(2, current, strlen(current));
    written += write(2, "\n", 1);
    (void)written;
    _exit(128 + signal_number);
}

void install_crash_handler(void) {
    static char stack[HANDLER_STACK];
    const stack_t alternative = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_crash;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaltstack(&alternative, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

static void reserve(arena *a, size_t bytes) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), had = (size_t)(a->high - a->low);
    if (had >= bytes) return;
    if (a->low) munmap(a->low - page, had + 2 * page);
    const size_t room = (2 * bytes + page - 1) / page * page;
    char *map = mmap(NULL, room + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (map == MAP_FAILED || mprotect(map + page, room, PROT_READ | PROT_WRITE) != 0) {
        fprintf(stderr, "no memory for a test\n");
        exit(1);
    }
    a->low = map + page;
    a->high = a->low + room;
}

static const char *margin_start(const arena *a, const char *data) {
    return data - a->low > MARGIN ? data - MARGIN : a->low;
}

static const char *margin_end(const arena *a, const char *end) {
    return a->high - end > MARGIN ? end + MARGIN : a->high;
}

/* Whether what is next to the array may be accessed. */
static void open_margins(const arena *a, int open) {
    char *const from = a->data - (a->data - margin_start(a, a->data));
    const size_t before = (size_t)(a->data - from), after = (size_t)(margin_end(a, a->end) - a->end);
    if (open) {
        SANITIZER_OPEN(from, before);
        SANITIZER_OPEN(a->end, after);
    } else {
        SANITIZER_CLOSE(from, before);
        SANITIZER_CLOSE(a->end, after);
    }
}

char *arena_place(arena *a, size_t bytes, placement where, size_t shift) {
    if (a->data) open_margins(a, 1);
    reserve(a, bytes + shift + 1);
    char *data = where == AT_START ? a->low : where == AT_END ? a->high - bytes : a->low + shift;
    const char *from = margin_start(a, data), *to = margin_end(a, data + bytes);
    memset(data - (data - from), UNTOUCHED, (size_t)(to - from));
    a->data = data;
    a->end = data + bytes;
    open_margins(a, 0);
    return data;
}

int arena_untouched(const arena *a) {
    const char *to = margin_end(a, a->end);
    int untouched = 1;
    open_margins(a, 1);
    for (const char *at = margin_start(a, a->data); at < to; at++) untouched &= (unsigned char)*at == UNTOUCHED;
    open_margins(a, 0);
    return untouched;
}

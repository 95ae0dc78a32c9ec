/* SPDX-License-Identifier: BSD-3-Clause */
/* The fuzz targets without a fuzzer, on inputs that were kept, or on random ones.
 *
 *     xent_test_fuzz CORPUS            the inputs in CORPUS/TARGET/, for every target
 *     xent_test_fuzz TARGET FILE...
 *     xent_test_fuzz TARGET --random RUNS [SEED] */
#define _DEFAULT_SOURCE 1
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "xent.h"

enum { MOST_BYTES = 1 << 16, RANDOM_BYTES = 400 };

static const fuzz_target *target;

/* On a copy of the very size, so that AddressSanitizer sees what is read behind it. */
static int run(const uint8_t *bytes, size_t size) {
    uint8_t *exact = malloc(size + (size == 0));
    if (!exact) exit(2);
    memcpy(exact, bytes, size);
    rng r = rng_of_bytes(exact, size);
    target->run(&r);
    free(exact);
    return failure_count();
}

static void run_file(const char *path) {
    static uint8_t bytes[MOST_BYTES];
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(2);
    }
    const size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    describe("%s", path);
    if (!run(bytes, size)) return;
    fprintf(stderr, "  from: %s\n", path);
    exit(1);
}

static int run_folder(const char *path) {
    int files = 0;
    DIR *folder = opendir(path);
    if (!folder) {
        fprintf(stderr, "there is no %s\n", path);
        exit(2);
    }
    for (const struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        char name[8192];
        if (entry->d_name[0] == '.') continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        run_file(name);
        files++;
    }
    closedir(folder);
    return files;
}

static void run_random(long long count, uint64_t seed) {
    rng r = rng_of(seed);
    for (long long i = 0; i < count; i++) {
        uint8_t bytes[RANDOM_BYTES];
        const size_t size = (size_t)rng_int(&r, 0, sizeof bytes);
        for (size_t at = 0; at < size; at++) bytes[at] = (uint8_t)rng_next(&r);
        if (!run(bytes, size)) continue;
        FILE *file = fopen("random-input", "wb");
        if (file) fwrite(bytes, 1, size, file), fclose(file);
        fprintf(stderr, "  from: run %lld of seed %llu; kept as random-input\n", i, (unsigned long long)seed);
        exit(1);
    }
}

static const fuzz_target *find(const char *name) {
    for (const fuzz_target *t = fuzz_targets; t->name; t++)
        if (strcmp(t->name, name) == 0) return t;
    return NULL;
}

int main(int argc, char **argv) {
    install_crash_handler();
    xn_init();
    if (argc < 2) return 2;
    target = find(argv[1]);
    if (target && argc > 3 && strcmp(argv[2], "--random") == 0) {
        run_random(strtoll(argv[3], NULL, 10), argc > 4 ? strtoull(argv[4], NULL, 10) : 1);
    } else if (target) {
        for (int i = 2; i < argc; i++) run_file(argv[i]);
    } else {
        for (target = fuzz_targets; target->name; target++) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[1], target->name);
            const int files = run_folder(path);
            printf("%s: %d inputs\n", target->name, files);
            if (files == 0) fail("no inputs for %s", target->name);
        }
    }
    int64_t checked, told;
    fuzz_counts(&checked, &told);
    printf("%lld results compared, %lld told\n", (long long)checked, (long long)told);
    return finish_tests("fuzz");
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* The list of fuzz targets, and what they have counted. */
#include "fuzz.h"

#include <stddef.h>

const fuzz_target fuzz_targets[] = {
    {"softmax", fuzz_softmax},     {"prob", fuzz_prob},
    {"shaped", fuzz_shaped},       {"shaped_prob", fuzz_shaped_prob},
    {"binary", fuzz_binary},       {"long_rows", fuzz_long_rows},
    {"labels", fuzz_labels},       {"arguments", fuzz_arguments},
    {"interface", fuzz_interface}, {"score", fuzz_score},
    {"books", fuzz_books},         {NULL, NULL},
};

void fuzz_counts(int64_t *checked, int64_t *told) {
    static void (*const parts[])(int64_t *, int64_t *) = {fuzz_problem_counts, fuzz_score_counts, fuzz_book_counts};
    *checked = *told = 0;
    for (int i = 0; i < 3; i++) {
        int64_t more, more_told;
        parts[i](&more, &more_told);
        *checked += more;
        *told += more_told;
    }
}

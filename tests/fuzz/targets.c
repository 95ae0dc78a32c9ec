/* SPDX-License-Identifier: BSD-3-Clause */
/* The list of fuzz targets. */
#include "fuzz.h"

#include <stddef.h>

const fuzz_target fuzz_targets[] = {
    {"softmax", fuzz_softmax},     {"prob", fuzz_prob},
    {"shaped", fuzz_shaped},       {"shaped_prob", fuzz_shaped_prob},
    {"binary", fuzz_binary},       {"long_rows", fuzz_long_rows},
    {"labels", fuzz_labels},       {"arguments", fuzz_arguments},
    {"interface", fuzz_interface}, {NULL, NULL},
};

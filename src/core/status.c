/* SPDX-License-Identifier: BSD-3-Clause */
/* Every error text of the C core. */
#include "../xent.h"

const char *xn_status_text(xn_status status) {
    switch (status) {
        case XN_OK: return "no error";
        case XN_BAD_LABEL: return "a label is outside of [0, classes)";
        case XN_BAD_ARGUMENT: return "the C core was given a problem that makes no sense";
        case XN_NO_MEMORY: return "no memory for the partial sums";
        case XN_INTERRUPTED: return "interrupted";
        case XN_UNKNOWN_ISA: return "this build has no such instruction set";
        case XN_UNSUPPORTED_ISA: return "this CPU does not run that instruction set";
    }
    return "unknown status";
}

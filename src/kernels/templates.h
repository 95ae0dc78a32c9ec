/* SPDX-License-Identifier: BSD-3-Clause */
/* Every template, in the order in which they need each other. */
#include "real.h"
#include "vmath.h"
#include "storage.h"
#include "lanes.h"
#include "pack.h"
#include "stream.h"
#include "softmax_ce.h"
#include "softmax_ce_rows.h"
#include "softmax_slopes.h"
#include "softmax_ce_cols.h"
#include "prob_ce.h"
#include "prob_ce_cols.h"
#include "binary_lanes.h"
#include "binary_ce.h"
#include "shaped.h"
#include "shaped_ce.h"
#include "shaped_ce_cols.h"
#include "shaped_prob.h"
#include "score.h"
#undef XN_REAL
#undef XN_STORED

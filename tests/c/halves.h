/* SPDX-License-Identifier: BSD-3-Clause */
/* float16 and bfloat16 by their definitions: rounding by division, bits by exponent and mantissa. */
#ifndef XN_TEST_HALVES_H
#define XN_TEST_HALVES_H

#include <stdint.h>

#include "xent.h"

int is_half(xn_dtype dtype);
double half_rounded(xn_dtype half, double value); /* the nearest value of the type, ties to even */
double half_largest(xn_dtype half);
uint16_t half_bits(xn_dtype half, double value); /* of a value that the type holds */
double half_value(xn_dtype half, uint16_t bits);

#endif

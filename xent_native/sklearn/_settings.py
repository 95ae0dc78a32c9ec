# SPDX-License-Identifier: BSD-3-Clause
"""The options of SoftmaxRegression, checked when it is fitted: scikit-learn's constructors check nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _core, _options, runtime


@dataclass(frozen=True)
class Settings:
    """Options in Python's own types; `threads` is how many there are to use."""

    C: float
    fit_intercept: bool
    warm_start: bool
    smoothing: float
    tol: float
    max_iter: int
    threads: int

    @classmethod
    def of(cls, estimator: Any) -> Settings:
        """Those of an estimator; TypeError or ValueError that names the first that does not fit."""
        return cls(
            _above_zero("C", estimator.C),
            _boolean("fit_intercept", estimator.fit_intercept),
            _boolean("warm_start", estimator.warm_start),
            _options.smoothing(estimator.label_smoothing),
            _options.finite_number("tol", estimator.tol, 0.0),
            _options.count("max_iter", estimator.max_iter),
            int(_core.threads(runtime.resolve_threads(estimator.n_threads))),
        )


def _above_zero(name: str, value: Any) -> float:
    found = _options.real(name, value, "a number above 0, or inf")
    if math.isnan(found) or found <= 0:
        raise ValueError(f"{name} must be a number above 0, or inf; got {found!r}")
    if math.isinf(1 / found):
        raise ValueError(f"{name} must be a number whose inverse is finite, or inf; got {found!r}")
    return found


def _boolean(name: str, value: Any) -> bool:
    """As scikit-learn has it: text such as "no" is not taken for true."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False; got {_options.shown(value)}")
    return bool(value)

# SPDX-License-Identifier: BSD-3-Clause
"""The objective as XGBoost calls it: row-major float32, 2 p (1 - p) in the Hessian, the intercept fitted beforehand."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .. import _copy, _core, _problem
from ._base import Objective, unpacked


class XGBoostObjective(Objective):
    """What :func:`xent_native.boosting.xgboost_objective` returns, with its parameters."""

    name: ClassVar[str] = "xgboost_objective"
    least_share: ClassVar[float] = 1e-6

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Gradient and Hessian: ``(y_true, y_pred, sample_weight)`` or, from ``xgb.train``, ``(y_pred, DMatrix)``.

        Parameters
        ----------
        y_true : array_like, shape (N,)
            Class indices; floats that are whole numbers will do. From ``xgb.train``: the margins.
        y_pred : array_like, shape (N, K), (N, 1) or (N,)
            Margins. From ``xgb.train``: the DMatrix, with labels and weights.
        sample_weight : array_like, shape (N,), optional

        Returns
        -------
        grad, hess : ndarray
            In the shape of the margins, and in their dtype, in C order.
        """
        y, x, weights = self._arrays(y_true, y_pred, sample_weight)
        grad, hess = _core.new_plane(x), _core.new_plane(x)
        if x.ndim == 2 and x.shape[1] > 1:
            x = _problem.passable(x, 1)
            self._solve(x, 1, y, weights, self.hessian or "doubled", grad, hess)
        else:
            flat = _copy.contiguous(x.reshape(-1), x.dtype)
            form = self.hessian or "diagonal"
            self._solve_binary(flat, y, weights, form, grad.reshape(-1), hess.reshape(-1))
        return grad, hess

    def cross_entropy(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The mean loss, as an evaluation metric: ``XGBClassifier(eval_metric=...)``, ``xgb.train(custom_metric=...)``.

        With a custom objective XGBoost hands margins to custom metrics. Called with ``(y_pred, DMatrix)``, as from
        ``xgb.train``, it returns a name and the value.
        """
        labels, margins, weight = unpacked(y_true, y_pred, sample_weight)
        value = self.cross_entropy_of(labels, margins, weight)
        return ("cross_entropy", value) if hasattr(y_pred, "get_label") else value

    def base_score(
        self, y: Any, sample_weight: Any = None, num_class: int | None = None, binary: bool | None = None
    ) -> float | list[float]:
        """The intercept that XGBoost fits for its own objective, but not for a custom one: its ``base_score``.

        Parameters
        ----------
        y, sample_weight, num_class
            As in :meth:`average`.
        binary : bool, optional
            Whether there is one margin a row, as with ``binary:logistic``. By default, whether there are two classes.

        Returns
        -------
        float or list of float
            For ``multi:softprob``, K margins that sum to 0; for ``binary:logistic``, a probability.

        Examples
        --------
        >>> from xent_native.boosting import xgboost_objective
        >>> xgboost_objective().base_score([0, 1, 1, 1])
        0.75
        >>> [round(margin, 4) for margin in xgboost_objective().base_score([0, 1, 1, 2])]
        [-0.231, 0.4621, -0.231]
        """
        average = self.average(y, sample_weight, num_class)
        if self._one_score(average, num_class, binary):
            return float(np.exp(average[1]))
        return [float(margin) for margin in average - average.mean()]

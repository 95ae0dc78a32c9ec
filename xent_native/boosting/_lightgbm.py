# SPDX-License-Identifier: BSD-3-Clause
"""The objective as LightGBM calls it: column-major float64 in, float32 out, K / (K - 1) in the Hessian."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .. import _copy, _problem
from ._base import FLOAT32, FLOAT64, Objective, unpacked


class LightGBMObjective(Objective):
    """What :func:`xent_native.boosting.lightgbm_objective` returns, with its parameters."""

    name: ClassVar[str] = "lightgbm_objective"

    def __call__(self, y_true: Any, y_pred: Any, weight: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Gradient and Hessian: ``(y_true, y_pred, weight)`` or, from ``lgb.train``, ``(y_pred, Dataset)``.

        Parameters
        ----------
        y_true : array_like, shape (N,)
            Class indices; floats that are whole numbers will do. From ``lgb.train``: the scores.
        y_pred : array_like, shape (N, K) or (N,)
            Scores. From ``lgb.train``: the Dataset, with labels and weights.
        weight : array_like, shape (N,), optional

        Returns
        -------
        grad, hess : ndarray of float32
            In the shape of the scores, in Fortran order.
        """
        y, x, weights = self._arrays(y_true, y_pred, weight)
        columns = x.shape[::-1]
        grad, hess = np.empty(columns, FLOAT32), np.empty(columns, FLOAT32)
        if x.ndim == 2 and x.shape[1] > 1:
            by_class = _problem.passable(x.T, 0)
            self._solve(by_class, 0, y, weights, self.hessian or "friedman", grad, hess)
        else:
            flat = _copy.contiguous(x.reshape(-1), x.dtype)
            form = self.hessian or "diagonal"
            self._solve_binary(flat, y, weights, form, grad.reshape(-1), hess.reshape(-1))
        return grad.T, hess.T

    def cross_entropy(self, y_true: Any, y_pred: Any, weight: Any = None) -> tuple[str, float, bool]:
        """The mean loss, as an evaluation metric: ``fit(eval_metric=...)`` or ``lgb.train(feval=...)``.

        With a custom objective LightGBM hands raw scores to custom metrics, and computes its own ``multi_logloss`` of
        scores that nobody has transformed. Returns a name, the value, and that higher is not better.
        """
        labels, scores, weight = unpacked(y_true, y_pred, weight)
        return "cross_entropy", self.cross_entropy_of(labels, scores, weight), False

    def init_score(
        self, y: Any, sample_weight: Any = None, num_class: int | None = None, binary: bool | None = None
    ) -> np.ndarray | float:
        """The scores that LightGBM's own objective begins with (``boost_from_average``), a custom one does not.

        Give them to each row of the training and the validation data: ``np.tile(init, (len(y), 1))``, or
        ``np.full(len(y), init)`` with two classes and one score a row. Predictions leave them out:
        :meth:`fold_init_score` makes them part of a model.

        Parameters
        ----------
        y, sample_weight, num_class
            As in :meth:`average`.
        binary : bool, optional
            Whether there is one score a row, as with ``binary``. By default, whether there are two classes.

        Returns
        -------
        ndarray of float64, shape (K,), or float
            Logarithms of the classes' shares; or their log-odds.

        Examples
        --------
        >>> from xent_native.boosting import lightgbm_objective
        >>> lightgbm_objective().init_score([0, 1, 2, 2]).round(4).tolist()
        [-1.3863, -1.3863, -0.6931]
        """
        average = self.average(y, sample_weight, num_class)
        if self._one_score(average, num_class, binary):
            return float(average[1] - average[0])
        return average

    def fold_init_score(self, booster: Any, init_score: Any) -> None:
        """Adds the scores that training began with to the first trees of a Booster, so that it predicts with them.

        LightGBM's own objective does the same. To be called once, after training.

        Parameters
        ----------
        booster : lightgbm.Booster, or an estimator that was fitted
        init_score : array_like of shape (K,), or float
            What :meth:`init_score` returned.
        """
        booster = getattr(booster, "booster_", booster)
        scores = np.atleast_1d(_copy.converted(_problem.as_array("init_score", init_score), FLOAT64))
        per_round = booster.num_model_per_iteration()
        if scores.shape != (per_round,):
            raise ValueError(
                f"init_score must have shape ({per_round},), one per tree of a round; got {scores.shape}"
            )
        wrong = np.flatnonzero(~np.isfinite(scores))
        if len(wrong):
            raise ValueError(f"init_score must be finite; got {scores[wrong[0]]} at index {wrong[0]}")
        for tree, model in enumerate(booster.dump_model(num_iteration=1)["tree_info"]):
            for leaf in range(model["num_leaves"]):
                value = booster.get_leaf_output(tree, leaf) + scores[tree]
                booster.set_leaf_output(tree, leaf, value)

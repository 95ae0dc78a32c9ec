# SPDX-License-Identifier: BSD-3-Clause
"""The objective as CatBoost calls it: derivatives of the negative loss, row by row with the whole Hessian."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .. import _copy, _core, _options, _problem
from ._base import FLOAT64, FORMS, MOST_CLASSES, Objective, bad_label

FEW_FEATURES = 20  # below, CatBoost 1.2 takes one step to the leaves of its Logloss


class CatBoostObjective(Objective):
    """What :func:`xent_native.boosting.catboost_objective` returns, with its parameters."""

    name: ClassVar[str] = "catboost_objective"
    forms: ClassVar[tuple[str, ...]] = ("full", *FORMS)
    no_jit = True  # CatBoost shall not try to compile the methods with numba

    def calc_ders_multi(
        self, approx: Any, target: float, weight: float
    ) -> tuple[list[float], list[list[float]]]:
        """First and second derivatives of the negative loss of one row, more than two classes.

        Parameters
        ----------
        approx : ndarray of float64, shape (K,)
        target, weight : float
            The label, a whole number, and the weight of the row.

        Returns
        -------
        ders : list of float
            ``weight * (u - U p)``.
        second_ders : list of K lists of float
            ``-weight * U (diag(p) - p p^T)``, or its diagonal alone.
        """
        if type(approx) is not np.ndarray or approx.dtype is not FLOAT64 or approx.ndim != 1:
            approx = _scores(approx)
        # CatBoost gives floats, once a row: those are let through without a look.
        target = target if type(target) is float else _options.real("target", target)
        weight = weight if type(weight) is float else _options.real("weight", weight)
        form = self.hessian or "full"
        classes = len(approx)
        if classes == 0:
            raise ValueError("approx must have at least one class; got shape (0,)")
        try:
            return _core.row_derivatives(
                approx, target, -weight, self.label_smoothing, self._class_weights(classes, FLOAT64),
                _core.SHAPES["focal" if self.gamma else "plain"], self.gamma, self._scale(form, classes),
                form == "full",
            )  # fmt: skip
        except _core.LabelError as error:
            raise bad_label(error, np.array(target), classes, "target") from None

    def calc_ders_range(self, approxes: Any, targets: Any, weights: Any = None) -> np.ndarray:
        """First and second derivatives of the negative loss of many rows, two classes.

        Parameters
        ----------
        approxes : ndarray of float64, shape (N,)
        targets : ndarray of float32, shape (N,)
            Labels 0 and 1.
        weights : ndarray of float32, shape (N,), optional

        Returns
        -------
        ndarray of float64, shape (N, 2)
        """
        x = _copy.contiguous(_problem.as_array("approxes", approxes), FLOAT64)
        if x.ndim != 1:
            raise ValueError(f"approxes must have shape (N,); got {x.shape}")
        y, weight = self._rows(targets, weights, len(x))
        negative = np.broadcast_to(np.float64(-1), len(x)) if weight is None else -weight
        ders = np.empty((len(x), 2))
        form = "diagonal" if self.hessian in (None, "full") else self.hessian
        self._solve_binary(x, y, negative, form, ders[:, 0], ders[:, 1])
        return ders

    # With two classes the object is an evaluation metric, too. With more CatBoost's own has to be: from a metric of
    # Python's it would conclude that there is one value a row.

    def evaluate(self, approxes: Any, target: Any, weight: Any = None) -> tuple[float, float]:
        """Sum of the losses and sum of the weights, for ``eval_metric=`` with two classes.

        Parameters
        ----------
        approxes : sequence of ndarray of float64, shape (N,)
            One value a row; or one for each class.
        target, weight : ndarray of float32, shape (N,)
        """
        raw = np.stack([np.asarray(one) for one in approxes], axis=1)
        total = float(len(raw)) if weight is None else float(np.sum(weight, dtype=np.float64))
        return self.cross_entropy_of(target, raw, weight) * total, total

    def get_final_error(self, error: float, weight: float) -> float:
        """The mean loss, of what :meth:`evaluate` returned."""
        return error / weight if weight else 0.0

    def is_max_optimal(self) -> bool:
        """False: less is better."""
        return False

    def params(self, num_class: int, n_features: int | None = None) -> dict[str, Any]:
        """Parameters that CatBoost chooses for its own objective, but not for a custom one; with the objective itself.

        The learning rate is not among them: CatBoost finds one for its own objectives, and takes 0.03 for others. The
        metric is cross-entropy without options; CatBoost has to be told one.

        Parameters
        ----------
        num_class : int
            K, at least 2.
        n_features : int, optional
            The number of columns of the training data, of whatever kind, constant and ignored ones too. With two
            classes it has to be given: CatBoost's own objective takes one step to the value of a leaf with fewer than
            20 features, and 10 with more. With more than two classes it changes nothing.

        Examples
        --------
        >>> from xent_native.boosting import catboost_objective
        >>> catboost_objective().params(3)["bootstrap_type"]
        'Bayesian'
        >>> catboost_objective().params(2, n_features=30)["leaf_estimation_iterations"]
        10
        """
        classes = _options.count("num_class", num_class, 2, MOST_CLASSES)
        features = None if n_features is None else _options.count("n_features", n_features)
        common = {"loss_function": self, "leaf_estimation_method": "Newton"}
        if classes > 2:
            return {
                **common,
                "eval_metric": "MultiClass",
                "leaf_estimation_iterations": 1,
                "bootstrap_type": "Bayesian",
            }
        if features is None:
            raise ValueError(
                "n_features must be the number of columns of the training data, as CatBoost chooses by it with two "
                "classes; got None"
            )
        steps = 1 if features < FEW_FEATURES else 10
        return {**common, "eval_metric": "Logloss", "leaf_estimation_iterations": steps}


def _scores(approx: Any) -> np.ndarray:
    """The scores of one row as float64."""
    row = _copy.contiguous(_problem.as_array("approx", approx), FLOAT64)
    if row.ndim != 1:
        raise ValueError(f"approx must have shape (K,); got {row.shape}")
    return row

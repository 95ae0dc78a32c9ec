# SPDX-License-Identifier: BSD-3-Clause
"""Softmax objectives for XGBoost, LightGBM and CatBoost, with options that their own ones lack.

Without options each gives the model of the booster's own objective, from the same gradients and in the same form of
the Hessian. Label smoothing, class weights and focal loss are options. No booster is imported here: the objectives are
called by them.

>>> import numpy as np
>>> from xent_native.boosting import xgboost_objective
>>> labels, margins = np.array([1, 0], np.float32), np.zeros((2, 3), np.float32)
>>> grad, hess = xgboost_objective(label_smoothing=0.1)(labels, margins)
>>> print(grad.round(4)[0], hess.round(4)[0])
[ 0.3 -0.6  0.3] [0.4444 0.4444 0.4444]
"""

from __future__ import annotations

from typing import Any

from ._base import Objective
from ._catboost import CatBoostObjective
from ._lightgbm import LightGBMObjective
from ._xgboost import XGBoostObjective

__all__ = [
    "CatBoostObjective",
    "LightGBMObjective",
    "Objective",
    "XGBoostObjective",
    "catboost_objective",
    "lightgbm_objective",
    "xgboost_objective",
]


def xgboost_objective(
    *,
    label_smoothing: float = 0.0,
    class_weight: Any = None,
    gamma: float = 0.0,
    hessian: str | None = None,
    n_threads: int | None = None,
) -> XGBoostObjective:
    r"""An objective for ``xgb.train(obj=...)`` and ``XGBClassifier(objective=...)``.

    Row-major float32 margins in, gradient and Hessian in the same layout and dtype out. Give the name of the
    built-in objective, ``multi:softprob`` or ``binary:logistic``, as a parameter beside it: XGBoost then turns margins
    into probabilities by itself (``XGBClassifier`` does so without being told). With a custom objective XGBoost
    does not fit its intercept: :meth:`XGBoostObjective.base_score` does.

    Parameters
    ----------
    label_smoothing : float, default 0.0
        In [0, 1]: the target is ``1 - label_smoothing + label_smoothing / K`` at the label and
        ``label_smoothing / K`` elsewhere. K is 2 with two classes and one margin a row.
    class_weight : array_like of shape (K,) or mapping, optional
        Factor of each class's term, after smoothing; classes that a mapping leaves out have 1. Any numbers are taken,
        as in the losses of :mod:`xent_native`: a negative weight turns the gradient and the Hessian of its class
        around, and NaN makes them NaN.
    gamma : float, default 0.0
        The focusing parameter of focal loss, at least 0; 0: cross-entropy.
    hessian : {"diagonal", "doubled", "friedman"}, optional
        The form of the Hessian: p (1 - p) times 1, 2 or K / (K - 1). By default XGBoost's own: "doubled" for
        softmax, an upper bound of the whole Hessian, and "diagonal" for two classes with one margin a row.
    n_threads : int, optional
        At least 1; see :func:`xent_native.set_num_threads`.

    Returns
    -------
    XGBoostObjective
        To be called as XGBoost does. It can be pickled, copied, and cloned by scikit-learn.

    Raises
    ------
    TypeError, ValueError
        If an option is not what it must be; when the objective is called, if arrays do not fit.
    IndexError
        When it is called, if a label is not one of 0 ... K - 1.

    Notes
    -----
    For a row with effective targets u, and p the softmax of its margins, the gradient is ``U p - u`` and the
    diagonal of the Hessian ``U p (1 - p)``, with U the sum of u; times the sample weight. The Hessian of focal loss
    may be negative; in its place stands that of the cross-entropy that has the same gradient, see
    ``src/kernels/shaped.h``.

    References
    ----------
    The forms of the Hessian: XGBoost 3.2 has 2 p (1 - p) in ``multiclass_obj.cu``; the factor K / (K - 1) is that of
    J. Friedman, *Greedy function approximation: a gradient boosting machine*, Annals of Statistics 29, 2001. Focal
    loss: T. Lin et al., *Focal loss for dense object detection*, ICCV 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from xent_native.boosting import xgboost_objective
    >>> objective = xgboost_objective()
    >>> grad, hess = objective(np.array([1], np.float32), np.zeros((1, 2), np.float32))
    >>> grad.tolist(), hess.tolist()
    ([[0.5, -0.5]], [[0.5, 0.5]])
    """
    return XGBoostObjective(
        label_smoothing=label_smoothing,
        class_weight=class_weight,
        gamma=gamma,
        hessian=hessian,
        n_threads=n_threads,
    )


def lightgbm_objective(
    *,
    label_smoothing: float = 0.0,
    class_weight: Any = None,
    gamma: float = 0.0,
    hessian: str | None = None,
    n_threads: int | None = None,
) -> LightGBMObjective:
    r"""An objective for ``lgb.train({"objective": ...})`` and ``LGBMClassifier(objective=...)``.

    Column-major float64 scores in, column-major float32 gradient and Hessian out: what LightGBM has and takes,
    without a copy. With a custom objective LightGBM returns raw scores: :meth:`LightGBMObjective.proba` makes
    probabilities of them. Nor does it begin with the average: :meth:`LightGBMObjective.init_score` does.

    Parameters
    ----------
    label_smoothing, class_weight, gamma, n_threads
        As in :func:`xgboost_objective`.
    hessian : {"diagonal", "doubled", "friedman"}, optional
        The form of the Hessian: p (1 - p) times 1, 2 or K / (K - 1). By default LightGBM's own: "friedman" for
        ``multiclass``, "diagonal" for ``binary``, which has one score a row.

    Returns
    -------
    LightGBMObjective
        To be called as LightGBM does. It can be pickled, copied, and cloned by scikit-learn.

    Raises
    ------
    IndexError, TypeError, ValueError
        As :func:`xgboost_objective`.

    Notes
    -----
    The formulas are those of :func:`xgboost_objective`.

    Examples
    --------
    >>> import numpy as np
    >>> from xent_native.boosting import lightgbm_objective
    >>> scores = np.zeros((2, 3), order="F")
    >>> grad, hess = lightgbm_objective()(np.array([1, 0], np.float32), scores)
    >>> print(grad.flags.f_contiguous, grad.dtype, hess.round(4)[0])
    True float32 [0.3333 0.3333 0.3333]
    """
    return LightGBMObjective(
        label_smoothing=label_smoothing,
        class_weight=class_weight,
        gamma=gamma,
        hessian=hessian,
        n_threads=n_threads,
    )


def catboost_objective(
    *,
    label_smoothing: float = 0.0,
    class_weight: Any = None,
    gamma: float = 0.0,
    hessian: str | None = None,
    n_threads: int | None = None,
) -> CatBoostObjective:
    r"""An objective for CatBoost's ``loss_function``, that of ``catboost.train`` and of ``CatBoostClassifier``.

    CatBoost maximises: derivatives are those of the negative loss. With more than two classes it asks for one row at a
    time and takes the whole K x K Hessian; with two, for all rows at once. CatBoost chooses some parameters by the name
    of the loss: :meth:`CatBoostObjective.params` has those of its own objective.

    Parameters
    ----------
    label_smoothing, class_weight, gamma
        As in :func:`xgboost_objective`.
    hessian : {"full", "diagonal", "doubled", "friedman"}, optional
        The form of the Hessian: the whole matrix, ``U (diag(p) - p p^T)``, or its diagonal times 1, 2 or K / (K - 1).
        By default CatBoost's own: "full", and "diagonal" for two classes with one value a row.
    n_threads : int, optional
        At least 1; with more than two classes a single row has no use for more.

    Returns
    -------
    CatBoostObjective
        With the methods that CatBoost calls. It can be pickled, copied, and cloned by scikit-learn.

    Raises
    ------
    IndexError, TypeError, ValueError
        As :func:`xgboost_objective`; in training CatBoost shows them inside of a ``CatBoostError``.

    Notes
    -----
    The formulas are those of :func:`xgboost_objective`.

    Examples
    --------
    >>> import numpy as np
    >>> from xent_native.boosting import catboost_objective
    >>> catboost_objective().calc_ders_multi(np.zeros(2), 1.0, 1.0)
    ([-0.5, 0.5], [[-0.25, 0.25], [0.25, -0.25]])
    """
    return CatBoostObjective(
        label_smoothing=label_smoothing,
        class_weight=class_weight,
        gamma=gamma,
        hessian=hessian,
        n_threads=n_threads,
    )

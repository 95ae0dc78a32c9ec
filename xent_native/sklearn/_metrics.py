# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's log_loss and d2_log_loss_score: one visit of the probabilities.

The kernel computes the loss and looks at all probabilities in the same visit. With labels no array of the size of the
probabilities is made; an indicator matrix becomes one of their dtype, and a single column two. What scikit-learn would
refuse, and every kind of input that is not plain, is left to scikit-learn's own function: its words, its decision.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.metrics import d2_log_loss_score as their_d2_log_loss_score
from sklearn.metrics import log_loss as their_log_loss
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.multiclass import type_of_target

from .. import _copy, _core, _problem, runtime

__all__ = ["d2_log_loss_score", "log_loss"]

# Those that scikit-learn computes in.
_DTYPES = (np.dtype(np.float64), np.dtype(np.float32), np.dtype(np.float16))
# scikit-learn's words.
_NO_PROBABILITIES = "The y_prob values do not sum to one. Make sure to pass probabilities."
_MOST_SPREAD = 16  # integers in a range of so many times the classes are counted, not sorted


def log_loss(
    y_true: Any,
    y_proba: Any = None,
    *,
    normalize: bool = True,
    sample_weight: Any = None,
    labels: Any = None,
    y_pred: Any = "deprecated",
) -> float:
    r"""Log loss of predicted probabilities, as ``sklearn.metrics.log_loss``: the same values, warnings and errors.

    For the label y of a sample, with :math:`\epsilon` the resolution of the dtype of `y_proba`,

    .. math:: \ell = -\log \mathrm{clip}(p_y, \epsilon, 1 - \epsilon)

    Parameters
    ----------
    y_true : array_like of shape (n_samples,), or indicator matrix of shape (n_samples, n_classes)
        Labels of any kind: numbers, strings.
    y_proba : array_like of shape (n_samples, n_classes), (n_samples, 1) or (n_samples,)
        Probabilities, columns in the order of the sorted labels; a single column is that of the second class. float16,
        float32 and float64 are taken as they are, without a copy, integers as float64.
    normalize : bool, default True
        Whether to return the mean, weighted if there are weights, or the sum.
    sample_weight : array_like of shape (n_samples,), optional
        Weights of the samples.
    labels : array_like, optional
        All labels there are, where `y_true` may lack some.
    y_pred : array_like
        The former name of `y_proba`: deprecated in scikit-learn 1.9.

    Returns
    -------
    float
        In nats.

    Raises
    ------
    ValueError
        As in scikit-learn: probabilities below 0, above 1, NaN or infinite; shapes or labels that do not fit; fewer
        than two labels.

    Warns
    -----
    UserWarning
        As in scikit-learn: rows that do not sum to one, within :math:`\sqrt\epsilon + 10^{-8}`, or `labels` that
        are not sorted.

    Notes
    -----
    float16 is computed in float32, where scikit-learn rounds to float16. With the array API dispatch of scikit-learn
    switched on, arrays other than NumPy's are passed to scikit-learn.

    References
    ----------
    C. M. Bishop, *Pattern Recognition and Machine Learning*, Springer 2006, section 4.3.4.

    Examples
    --------
    >>> from xent_native.sklearn import log_loss
    >>> round(log_loss(["no", "yes", "yes"], [0.1, 0.8, 0.7]), 6)
    0.228393
    >>> round(log_loss([0, 2], [[0.8, 0.1, 0.1], [0.1, 0.2, 0.7]], labels=[0, 1, 2], normalize=False), 7)
    0.5798185
    """
    case = None
    if _is_default(y_pred) and type(normalize) is bool:
        case = _plain_case(y_true, y_proba, sample_weight, labels)
    total = None if case is None else _loss(case, "mean_with_sample_weight" if normalize else "sum")
    if total is None:
        return float(
            their_log_loss(
                y_true,
                y_proba,
                normalize=normalize,
                sample_weight=sample_weight,
                labels=labels,
                y_pred=y_pred,
            )
        )
    return total


def d2_log_loss_score(
    y_true: Any,
    y_proba: Any = None,
    *,
    sample_weight: Any = None,
    labels: Any = None,
    y_pred: Any = "deprecated",
) -> float:
    r""":math:`D^2`, the fraction of log loss explained, as ``sklearn.metrics.d2_log_loss_score``.

    With L the sum of the losses of :func:`log_loss`, and :math:`\bar p` the weighted frequencies of the classes in
    `y_true`:

    .. math:: D^2 = 1 - \frac{L(y, p)}{L(y, \bar p)}

    Parameters
    ----------
    y_true, y_proba, sample_weight, labels, y_pred
        As in :func:`log_loss`.

    Returns
    -------
    float
        At most 1; 0 for a model that predicts the frequencies. NaN, with an UndefinedMetricWarning, for fewer than two
        samples.

    Raises
    ------
    ValueError
        As :func:`log_loss`.

    References
    ----------
    T. Hastie, R. Tibshirani, M. Wainwright, *Statistical Learning with Sparsity*, CRC Press 2015, section 3.2.

    Examples
    --------
    >>> from xent_native.sklearn import d2_log_loss_score
    >>> round(d2_log_loss_score([0, 1, 1, 0], [0.2, 0.9, 0.8, 0.1]), 7)
    0.7630344
    """
    case = _plain_case(y_true, y_proba, sample_weight, labels) if _is_default(y_pred) else None
    null = 0.0 if case is None or len(case.p) < 2 else _loss_of_frequencies(case)
    # This may warn: not before it is settled that the answer is ours.
    total = None if case is None or null == 0.0 else _loss(case, "sum")
    if total is None:
        return float(
            their_d2_log_loss_score(
                y_true, y_proba, sample_weight=sample_weight, labels=labels, y_pred=y_pred
            )
        )
    return 1.0 - total / null


def _is_default(y_pred: Any) -> bool:
    return isinstance(y_pred, str) and y_pred == "deprecated"


@dataclass(frozen=True)
class _Case:
    """A call in which nothing has been found that scikit-learn would refuse; the probabilities are still to be seen.

    Attributes
    ----------
    p : ndarray of shape (n_samples, n_classes)
    codes : ndarray of shape (n_samples,) or None
        Class indices, or None where `indicator` is given.
    indicator : ndarray of the shape and dtype of `p`, or None
    weight : ndarray of shape (n_samples,) or None
        float32 or float64; finite, and not all 0.
    """

    p: np.ndarray
    codes: np.ndarray | None
    indicator: np.ndarray | None
    weight: np.ndarray | None


def _plain_case(y_true: Any, y_proba: Any, sample_weight: Any, labels: Any) -> _Case | None:
    """The arguments of a call, if they are all plain. Never an exception: what raises here is not plain."""
    try:
        with np.errstate(all="ignore"):  # scikit-learn warns of its own conversions
            return _looked_at(y_true, y_proba, sample_weight, labels)
    except Exception:  # scikit-learn says what is wrong, if anything is
        return None


def _looked_at(y_true: Any, y_proba: Any, sample_weight: Any, labels: Any) -> _Case | None:
    if type(y_proba) is not np.ndarray and get_config()["array_api_dispatch"]:
        return None
    if any(isinstance(given, np.ma.MaskedArray) for given in (y_true, y_proba, sample_weight, labels)):
        return None
    p = _probabilities(y_proba)
    if p is None:
        return None
    weight = None if sample_weight is None else _weights(sample_weight, len(p))
    target = y_true if type(y_true) is np.ndarray else np.asarray(y_true)
    if len(target) != len(p) or (sample_weight is not None and weight is None):
        return None
    if target.ndim == 2:
        indicator = _indicator(target, p) if labels is None else None
        return None if indicator is None else _Case(p, None, indicator, weight)
    codes = _class_indices(y_true, target, labels, p.shape[1])
    return None if codes is None else _Case(p, codes, None, weight)


def _probabilities(y_proba: Any) -> np.ndarray | None:
    """Of shape (n_samples, n_classes) and one of _DTYPES, values not looked at."""
    p = y_proba
    if type(p) is not np.ndarray:
        if hasattr(p, "nnz") or isinstance(p, np.ndarray):
            return None  # sparse, np.matrix
        p = np.asarray(p)
    if p.dtype not in _DTYPES:
        if p.dtype.kind not in "iub":
            return None
        p = p.astype(np.float64)
    if p.ndim == 1:
        p = p[:, None]
    if p.ndim != 2 or p.size == 0:
        return None
    if p.shape[1] == 1:
        return np.hstack([1 - p, p])
    return _problem.passable(p, 1)


def _weights(sample_weight: Any, rows: int) -> np.ndarray | None:
    weight = np.asarray(sample_weight)
    if weight.shape != (rows,) or weight.dtype.kind not in "iuf":
        return None
    weight = _copy.contiguous(weight, weight.dtype if weight.dtype in _core.FLOATS else np.dtype(np.float64))
    total = float(weight.sum(dtype=np.float64))
    return weight if math.isfinite(total) and total != 0 else None


def _indicator(target: np.ndarray, p: np.ndarray) -> np.ndarray | None:
    """A matrix of zeros and ones, as one of floats."""
    if target.shape != p.shape or target.dtype.kind not in "biuf":
        return None
    ones = target == 1
    if not (ones | (target == 0)).all():
        return None
    return np.asarray(ones, p.dtype)


def _class_indices(given: Any, target: np.ndarray, labels: Any, classes: int) -> np.ndarray | None:
    """Positions of labels among the sorted ones, of which there are as many as classes."""
    known = None
    if labels is not None:
        known = np.asarray(labels)
        if known.ndim != 1 or len(known) != classes or not (known[1:] > known[:-1]).all():
            return None
    if target.dtype.kind in "iu" and (known is None or known.dtype.kind in "iu"):
        codes = _integer_indices(target, known, classes)
        if codes is not None:
            return codes
    if target.ndim != 1 or type_of_target(given) not in ("binary", "multiclass"):
        return None
    if not _are_of_a_kind(given, target, known):
        return None
    encoder = LabelEncoder().fit(target if known is None else known)
    if len(encoder.classes_) != classes:
        return None
    codes = np.asarray(encoder.transform(target))
    # The encoder casts to the dtype of the classes, where what is no class may become one.
    return codes if np.array_equal(encoder.classes_[codes], target) else None


def _are_of_a_kind(given: Any, target: np.ndarray, known: np.ndarray | None) -> bool:
    """Whether labels, and those that are known, can be compared: NumPy makes text of numbers that stand beside text."""
    if known is not None and known.dtype.kind != target.dtype.kind:
        return {known.dtype.kind, target.dtype.kind} <= set("iu")
    return target.dtype.kind != "U" or target is given or all(isinstance(label, str) for label in given)


def _integer_indices(target: np.ndarray, known: np.ndarray | None, classes: int) -> np.ndarray | None:
    """The same for integers in a narrow range, without sorting them; None leaves it to others."""
    if target.ndim != 1 or target.dtype not in _core.INTEGERS:
        return None
    first, last = int(target.min()), int(target.max())
    low, high = (first, last) if known is None else (int(known[0]), int(known[-1]))
    if high - low >= _MOST_SPREAD * classes or first < low or last > high:
        return None
    if known is not None and high - low + 1 == classes:
        return target if low == 0 else target.astype(np.int64) - low
    offsets = target if low == 0 else target.astype(np.int64) - low
    present = np.bincount(offsets.astype(np.int64, copy=False), minlength=high - low + 1) > 0
    if known is not None:
        is_known = np.zeros(len(present), bool)
        is_known[known.astype(np.int64) - low] = True
        if (present & ~is_known).any():
            return None
        present = is_known
    if np.count_nonzero(present) != classes:
        return None
    return offsets if present.all() else (np.cumsum(present) - 1)[offsets]


def _loss(case: _Case, reduction: str) -> float | None:
    """The reduced loss, or None if the probabilities are refused; a warning if rows do not sum to one."""
    epsilon = float(np.finfo(case.p.dtype).eps)
    try:
        value, least, most, off = _core.score_probabilities(
            case.p, _core.STORED[case.p.dtype],
            case.codes, 0 if case.codes is None else _core.INTEGERS[case.codes.dtype],
            case.indicator,
            case.weight, 0 if case.weight is None else _core.FLOATS[case.weight.dtype],
            epsilon, _core.REDUCTIONS[reduction], runtime.resolve_threads(None),
        )  # fmt: skip
    except _core.LabelError:  # another thread has changed the labels since they were looked at
        return None
    if not (least >= 0 and most <= 1 and math.isfinite(off)):
        return None
    if off > math.sqrt(epsilon) + 1e-8:  # as numpy.isclose, whose absolute tolerance stays
        warnings.warn(_NO_PROBABILITIES, UserWarning, stacklevel=3)
    return value


def _loss_of_frequencies(case: _Case) -> float:
    """The sum of the losses of a model that predicts the weighted frequencies of the classes, which are float64."""
    if case.codes is not None:
        sums = np.bincount(case.codes, case.weight, case.p.shape[1]).astype(np.float64, copy=False)
    elif case.indicator is not None:
        weight = np.ones(len(case.p)) if case.weight is None else case.weight.astype(np.float64, copy=False)
        sums = weight @ case.indicator
    total = len(case.p) if case.weight is None else case.weight.sum(dtype=np.float64)
    epsilon = np.finfo(np.float64).eps
    return float(-(sums * np.log(np.clip(sums / total, epsilon, 1 - epsilon))).sum())

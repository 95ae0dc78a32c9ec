# SPDX-License-Identifier: BSD-3-Clause
"""What the objectives of all boosters share: options, checks, one call of the kernels, the metric, the average."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from .. import _copy, _core, _options, _problem, activations, runtime

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
FORMS = ("diagonal", "doubled", "friedman")
MOST_CLASSES = (1 << 31) - 1  # boosters count them in 32 bits
_MOST_BY_LABELS = 1 << 20  # classes that labels alone can ask for: more may be more than the memory holds


class Objective:
    """Options of a softmax objective, and what follows from them on whole arrays.

    It has no ``get_params`` on purpose: boosters would take what that returns for parameters of their own.

    Parameters
    ----------
    label_smoothing, class_weight, gamma, hessian, n_threads
        As in :func:`xent_native.boosting.xgboost_objective`.
    """

    name: ClassVar[str]
    least_share: ClassVar[float] = 1e-15  # of a class, in an average
    forms: ClassVar[tuple[str, ...]] = FORMS
    OPTIONS: ClassVar[tuple[str, ...]] = ("label_smoothing", "class_weight", "gamma", "hessian", "n_threads")

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        class_weight: Any = None,
        gamma: float = 0.0,
        hessian: str | None = None,
        n_threads: int | None = None,
    ) -> None:
        self._weights = _problem.kept_weights("class_weight", class_weight)
        if self._weights is not None and np.ndim(self._weights) == 0 and not isinstance(self._weights, dict):
            raise ValueError(f"class_weight must have one number per class; got {self._weights!r}")
        if hessian is not None and (not isinstance(hessian, str) or hessian not in self.forms):
            choices = ", ".join(map(repr, self.forms))
            raise ValueError(f"hessian must be one of {choices} or None; got {_options.shown(hessian)}")
        # Python's own numbers: what was given may be an array of no dimension, which its owner can change.
        self.label_smoothing = _options.smoothing(label_smoothing)
        self.gamma = _options.finite_number("gamma", gamma, 0.0)
        self.hessian = hessian
        self.n_threads = None if n_threads is None else runtime.resolve_threads(n_threads)
        self._factors: dict[tuple[int, np.dtype], np.ndarray | None] = {}

    @property
    def class_weight(self) -> Any:
        """A new list or dict each time: whoever changes it does not change the objective."""
        weights = self._weights
        return weights.tolist() if isinstance(weights, np.ndarray) else copy.copy(weights)

    def get_config(self) -> dict[str, Any]:
        """The options by name, in types that can be pickled and shown: class weights as a list or a dict."""
        return {name: getattr(self, name) for name in self.OPTIONS}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """An objective with these options."""
        return cls(**config)

    def __repr__(self) -> str:
        defaults = {"label_smoothing": 0.0, "gamma": 0.0}
        given = (
            f"{name}={value!r}"
            for name, value in self.get_config().items()
            if not (value is None or (name in defaults and value == defaults[name]))
        )
        return f"{self.name}({', '.join(given)})"

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.OPTIONS and hasattr(self, name):
            raise AttributeError(f"{name} cannot be changed; make another objective")
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if name in self.OPTIONS:
            raise AttributeError(f"{name} cannot be deleted; make another objective")
        super().__delattr__(name)

    def __deepcopy__(self, memo: Any) -> Self:
        """Itself, as nothing changes it: CatBoost copies its parameters, and scikit-learn wants the same ones back."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_config, (self.get_config(),)

    def proba(self, raw: Any) -> np.ndarray:
        """Probabilities of raw scores: margins, what a booster predicts before any transformation.

        Parameters
        ----------
        raw : array_like, shape (N, K), (N, 1) or (N,)
            One score for each class; or, with two classes, that of the second one.

        Returns
        -------
        ndarray, shape (N, K) or (N, 2)
            In the dtype of `raw`, float64 for integers.

        Examples
        --------
        >>> import numpy as np
        >>> from xent_native.boosting import lightgbm_objective
        >>> lightgbm_objective().proba(np.zeros((1, 4))).tolist()
        [[0.25, 0.25, 0.25, 0.25]]
        """
        x = _scores("raw", raw)
        if x.ndim == 2 and x.shape[1] > 1:
            return np.asarray(activations.softmax(x))
        positive = activations.sigmoid(x.reshape(-1))
        negative = activations.sigmoid(-x.reshape(-1))
        return np.stack([negative, positive], axis=1)

    def cross_entropy_of(self, y_true: Any, raw: Any, sample_weight: Any = None) -> float:
        """The mean loss of raw scores, with the options of the objective, weighted by `sample_weight`.

        Parameters
        ----------
        y_true : array_like, shape (N,)
            Class indices; floats that are whole numbers will do.
        raw : array_like, shape (N, K), (N, 1) or (N,)
            As in :meth:`proba`.
        sample_weight : array_like, shape (N,), optional

        Returns
        -------
        float
            In nats.
        """
        x = _scores("raw", raw)
        if x.ndim == 1 or x.shape[1] == 1:
            x = _two_classes(x.reshape(-1)).T
        y, weight = self._rows(y_true, sample_weight, len(x))
        return self._mean(y, x, weight)

    def average(self, y: Any, sample_weight: Any = None, num_class: int | None = None) -> np.ndarray:
        """The scores, the same for all rows, that fit the labels best: logarithms of the classes' shares.

        Parameters
        ----------
        y : array_like, shape (N,)
            Class indices; floats that are whole numbers will do.
        sample_weight : array_like, shape (N,), optional
        num_class : int, optional
            K, if it is not the largest label plus one, or if that is more than 2^20.

        Returns
        -------
        ndarray of float64, shape (K,)
            With label smoothing and class weights, the shares are those of the effective targets. Focal loss has no
            such formula: this is then where cross-entropy would begin.
        """
        labels = _whole("y", _problem.as_array("y", y))
        if len(labels) == 0:
            raise ValueError("y must have at least one label; got none")
        if num_class is None:
            end = int(labels.max()) + 1
            if end > _MOST_BY_LABELS:
                raise ValueError(
                    f"y must lie in [0, {_MOST_BY_LABELS}), or num_class must be given; got "
                    f"{_label(labels.max())} at index {labels.argmax()}"
                )
            count = max(end, 1)
        else:
            count = _options.count("num_class", num_class, 1, MOST_CLASSES)
        wrong = np.flatnonzero((labels < 0) | (labels >= count))
        if len(wrong):
            raise IndexError(
                f"y must lie in [0, {count}); got {_label(labels[wrong[0]])} at index {wrong[0]}"
            )
        labels, weight = self._rows(labels, sample_weight, len(labels))
        shares = np.bincount(labels.astype(np.int64), weight, count)
        _check_sum("sample_weight", shares)
        shares = shares * (1 - self.label_smoothing) + shares.sum() * (self.label_smoothing / count)
        factors = self._class_weights(count, FLOAT64)
        if factors is not None:
            with np.errstate(all="ignore"):
                shares = shares * factors
            _check_sum("class_weight", shares)
        with np.errstate(all="ignore"):
            return np.asarray(np.log(np.maximum(shares / shares.sum(), self.least_share)))

    def _one_score(self, average: np.ndarray, num_class: Any, binary: Any) -> bool:
        """Whether there is one score a row, where `average` has one for each class."""
        classes = len(average)
        if binary is not None and not _options.flag("binary", binary):
            return False
        if classes == 1:
            raise ValueError(
                f"num_class must be at least 2, or binary false; got {_options.shown(num_class)} for labels y of class "
                "0 alone"
            )
        if classes > 2 and binary is not None:
            raise ValueError(f"binary must be false with {classes} classes; got {_options.shown(binary)}")
        return classes == 2

    # How a host's arrays become a call of the kernels.

    def _arrays(
        self, y_true: Any, y_pred: Any, sample_weight: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Labels, scores in float32 or float64, and weights, from either of the two ways to call an objective."""
        y_true, y_pred, sample_weight = unpacked(y_true, y_pred, sample_weight)
        x = _scores("y_pred", y_pred)
        if x.dtype not in _core.FLOATS:
            x = _copy.converted(x, FLOAT64)
        y, weight = self._rows(y_true, sample_weight, len(x))
        return y, x, weight

    def _rows(self, y: Any, sample_weight: Any, rows: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Labels, in a dtype that the core reads, and weights."""
        labels = _problem.as_array("y_true", y)
        if labels.shape == (rows, 1):
            labels = labels.reshape(rows)
        if labels.shape != (rows,):
            raise ValueError(f"y_true must have shape ({rows},), one label per row; got {labels.shape}")
        if labels.dtype.kind == "b":
            labels = labels.view(np.uint8)
        if labels.dtype not in _core.LABELS:
            labels = _copy.converted(labels, FLOAT64)
        if not labels.flags.aligned:
            labels = _copy.converted(labels, labels.dtype)
        if sample_weight is None:
            return labels, None
        weight = _problem.as_array("sample_weight", sample_weight)
        if weight.shape != (rows,):
            raise ValueError(f"sample_weight must have shape ({rows},), one per row; got {weight.shape}")
        if weight.dtype not in _core.FLOATS or not weight.flags.aligned:
            weight = _copy.converted(weight, FLOAT64)
        return labels, weight

    def _class_weights(self, classes: int, dtype: np.dtype) -> np.ndarray | None:
        """One weight per class; found once for each number of classes."""
        key = classes, dtype
        if key not in self._factors:
            rows = np.empty((0, classes), dtype)
            self._factors[key] = _problem.class_weights(self._weights, rows, 1)
        return self._factors[key]

    def _scale(self, form: str, classes: int) -> float:
        """The factor of the diagonal."""
        if form == "friedman":
            return classes / (classes - 1) if classes > 1 else 1.0
        return 2.0 if form == "doubled" else 1.0

    def _solve(
        self,
        x: np.ndarray,
        axis: int,
        y: np.ndarray,
        weight: np.ndarray | None,
        form: str,
        grad: np.ndarray,
        hess: np.ndarray,
    ) -> None:
        """Fills gradient and Hessian of softmax, in the layout that `x` has or another, in its dtype or float32."""
        classes = x.shape[axis]
        try:
            _core.cross_entropy(
                True, x, _dtype_code(x, grad), axis, y, _core.LABELS[y.dtype], None, None, self.label_smoothing,
                self._class_weights(classes, _problem.computed(x.dtype)), weight, weight_type(weight), 0.0, 0,
                runtime.resolve_threads(self.n_threads), None, 0, None, grad, hess, None, None,
                _core.SHAPES["focal" if self.gamma else "plain"], self.gamma, 1.0, True,
                self._scale(form, classes),
            )  # fmt: skip
        except _core.LabelError as error:
            raise bad_label(error, y, classes) from None

    def _solve_binary(
        self,
        x: np.ndarray,
        y: np.ndarray,
        weight: np.ndarray | None,
        form: str,
        grad: np.ndarray,
        hess: np.ndarray,
    ) -> None:
        """The same of one score a row, shape (N,): that of the second of two classes, the first one having 0."""
        dtype = _problem.computed(x.dtype)
        factors = self._class_weights(2, dtype)
        share, ratio = _share_and_ratio(factors)
        if self.gamma or form != "diagonal" or ratio is None:
            both = np.empty((2, 2, len(x)), grad.dtype)
            self._solve(_two_classes(x), 0, y, weight, form, both[0], both[1])
            grad[...], hess[...] = both[0, 1], both[1, 1]
            return
        positive = None if factors is None else np.array([ratio], dtype)
        try:
            _core.binary_cross_entropy(
                True, x[:, None], _dtype_code(x, grad), 1, None, self.label_smoothing, positive, None,
                weight, weight_type(weight), 0.0, 0, share, runtime.resolve_threads(self.n_threads), None, 0, None,
                grad[:, None], hess[:, None], None, True, y, _core.LABELS[y.dtype],
            )  # fmt: skip
        except _core.LabelError as error:
            raise bad_label(error, y, 2) from None

    def _mean(self, y: np.ndarray, x: np.ndarray, weight: np.ndarray | None) -> float:
        """The mean loss of scores with classes along axis 1."""
        dtype = _problem.computed(x.dtype)
        try:
            return _core.cross_entropy(
                True, _problem.passable(x, 1), _core.stored_code(x.dtype), 1, y, _core.LABELS[y.dtype], None, None,
                self.label_smoothing, self._class_weights(x.shape[1], dtype), weight, weight_type(weight), 0.0,
                _core.REDUCTIONS["mean" if weight is None else "mean_with_sample_weight"],
                runtime.resolve_threads(self.n_threads), None, 0, None, None, None, None, None,
                _core.SHAPES["focal" if self.gamma else "plain"], self.gamma, 1.0,
            )  # fmt: skip
        except _core.LabelError as error:
            raise bad_label(error, y, x.shape[1]) from None


def unpacked(y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """Labels, scores and weights, from a call with them or with the scores and a host's data set."""
    if not hasattr(y_pred, "get_label"):
        return y_true, y_pred, sample_weight
    weight = y_pred.get_weight()
    return y_pred.get_label(), y_true, None if weight is None or np.size(weight) == 0 else weight


def _scores(name: str, raw: Any) -> np.ndarray:
    """Raw scores of any float dtype, shape (N,) or (N, K)."""
    x = _problem.prediction(raw, name)[0]
    if not (x.ndim == 1 or (x.ndim == 2 and x.shape[1] > 0)):
        raise ValueError(f"{name} must have shape (N,) or (N, K); got {x.shape}")
    return x


def _dtype_code(x: np.ndarray, out: np.ndarray) -> int:
    """What the core calls the dtypes of an input and of outputs, in the same dtype or in float32."""
    is_narrow = x.dtype == FLOAT64 and out.dtype == FLOAT32
    return _core.FLOAT64_TO_FLOAT32 if is_narrow else _core.stored_code(x.dtype)


def _share_and_ratio(factors: np.ndarray | None) -> tuple[float, float | None]:
    """Weights of two classes as a factor of both and one of the second; None for that if one of them is not normal.

    In a number that is 0, subnormal, infinite or NaN the weights could not be told any more.
    """
    if factors is None:
        return 1.0, 1.0
    with np.errstate(all="ignore"):
        ratio = factors[1] / factors[0]
    limits = np.finfo(factors.dtype)
    normal = all(limits.tiny <= number <= limits.max for number in (factors[0], ratio))
    return float(factors[0]), float(ratio) if normal else None


def _two_classes(x: np.ndarray) -> np.ndarray:
    """Scores of two classes, shape (2, N): of the first, 0."""
    both = np.zeros((2, len(x)), x.dtype)
    both[1] = x
    return both


def _whole(name: str, labels: np.ndarray) -> np.ndarray:
    """Labels that are whole numbers; ValueError for others."""
    if labels.ndim != 1:
        raise ValueError(f"{name} must have one dimension; got shape {labels.shape}")
    if labels.dtype.kind != "f":
        return labels
    with np.errstate(all="ignore"):
        wrong = np.flatnonzero(~np.isfinite(labels) | (labels != np.trunc(labels)))
    if len(wrong):
        raise ValueError(f"{name} must hold whole numbers; got {labels[wrong[0]]} at index {wrong[0]}")
    return labels


def weight_type(weight: np.ndarray | None) -> int:
    """What the core calls the dtype of weights."""
    return 0 if weight is None else _core.FLOATS[weight.dtype]


def bad_label(error: _core.LabelError, labels: np.ndarray, classes: int, name: str = "y_true") -> Exception:
    """What the user is told of a label that is none of the classes; `labels` without a dimension is one label."""
    value = labels[error.args[0]].item() if labels.ndim else labels.item()
    where = f" at index {error.args[0]}" if labels.ndim else ""
    if isinstance(value, float) and not (math.isfinite(value) and value == math.trunc(value)):
        return ValueError(f"{name} must hold whole numbers; got {value!r}{where}")
    return IndexError(f"{name} must lie in [0, {classes}); got {_label(value)}{where}")


def _label(value: Any) -> str:
    """A whole number of any type: all digits of an integer, of a float no more than say something."""
    return f"{value:.16g}" if isinstance(value, float | np.floating) else str(int(value))


def _check_sum(name: str, shares: np.ndarray) -> None:
    """ValueError if the classes' shares have no sum to be divided by."""
    with np.errstate(all="ignore"):
        total = float(shares.sum())
    if total == 0 or not math.isfinite(total):
        raise ValueError(f"{name} must have a finite sum over the labels of y, other than 0; got {total!r}")

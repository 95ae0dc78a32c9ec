# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's losses for gradient boosting and linear models, on the kernels of this package."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from sklearn._loss.loss import HalfBinomialLoss, HalfMultinomialLoss

from .. import _options, _problem, activations
from . import _arrays

__all__ = ["BinomialLoss", "MultinomialLoss"]


def _column(array: Any) -> Any:
    """(n_samples,) from (n_samples, 1); anything else as it is."""
    return array[:, 0] if isinstance(array, np.ndarray) and array.ndim == 2 and array.shape[1] == 1 else array


def _classes(loss: Any) -> int | None:
    """How many columns raw predictions must have; None for scikit-learn's own loss, which takes any number of them."""
    return loss.n_classes if isinstance(loss, MultinomialLoss) else None


def _solve(
    loss: Any, y_true: Any, raw_prediction: Any, sample_weight: Any, n_threads: Any, **outputs: Any
) -> tuple[np.ndarray, ...]:
    """The outputs of a call in the order of their names, new ones where None is given."""
    if loss.is_multiclass:
        raw = _arrays.floats("raw_prediction", raw_prediction)
        _arrays.check_shape(raw.shape, True, _classes(loss))
        return _arrays.multinomial(y_true, raw, sample_weight, n_threads, outputs)
    raw = _arrays.floats("raw_prediction", _column(raw_prediction))
    _arrays.check_shape(raw.shape, False)
    outputs = {name: out if name == "loss_out" else _column(out) for name, out in outputs.items()}
    return _arrays.binomial(y_true, raw, sample_weight, n_threads, outputs)


def _logits(loss: Any, array: Any) -> tuple[Any, bool]:
    """What probabilities are asked of, and whether it is for the kernels; if not, for scikit-learn's own functions.

    Those take arrays of other libraries and of wider floats; what has no shape becomes an array first.
    """
    if not hasattr(array, "shape"):
        array = _problem.as_array("raw_prediction", array)
    array = array if loss.is_multiclass else _column(array)
    if isinstance(array, np.ndarray) and array.dtype.kind != "f":
        raise TypeError(f"raw_prediction must hold floats; got dtype {array.dtype}")
    _arrays.check_shape(array.shape, loss.is_multiclass, _classes(loss))
    return array, type(array) is np.ndarray and array.dtype in _arrays.FLOATS


class Methods:
    """The methods of ``sklearn._loss.loss.BaseLoss`` that compute, for either loss: `is_multiclass` tells which.

    They are mixed into the two classes below, and patch_sklearn() puts them into scikit-learn's own. Signatures, dtypes
    of new arrays and returned objects are those of scikit-learn.
    """

    is_multiclass: bool
    link: Any

    def loss(
        self,
        y_true: Any,
        raw_prediction: Any,
        sample_weight: Any = None,
        loss_out: Any = None,
        n_threads: int = 1,
    ) -> np.ndarray:
        """Loss of each sample, times its weight.

        Parameters
        ----------
        y_true : ndarray of shape (n_samples,)
            Class indices in floats or integers, for the binary loss targets in [0, 1]. Those are not looked at:
            other numbers are put into the formulas, as in scikit-learn, and NaN and infinities give NaN or infinities.
        raw_prediction : ndarray of shape (n_samples, n_classes) or, for the binary loss, (n_samples,)
            Logits, float32 or float64, of any strides.
        sample_weight : ndarray of shape (n_samples,), optional
            Weights, float32 or float64.
        loss_out : ndarray of shape (n_samples,), optional
            Where to put the result, float32 or float64.
        n_threads : int, default 1
            At least 1.

        Returns
        -------
        ndarray of shape (n_samples,)
            `loss_out` if given.
        """
        (loss,) = _solve(self, y_true, raw_prediction, sample_weight, n_threads, loss_out=loss_out)
        return loss

    def loss_gradient(
        self,
        y_true: Any,
        raw_prediction: Any,
        sample_weight: Any = None,
        loss_out: Any = None,
        gradient_out: Any = None,
        n_threads: int = 1,
    ) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`loss`, and the gradient of the sum: of the shape of `raw_prediction`."""
        loss, gradient = _solve(
            self, y_true, raw_prediction, sample_weight, n_threads, loss_out=loss_out, gradient_out=gradient_out
        )  # fmt: skip
        return loss, gradient

    def gradient(
        self,
        y_true: Any,
        raw_prediction: Any,
        sample_weight: Any = None,
        gradient_out: Any = None,
        n_threads: int = 1,
    ) -> np.ndarray:
        """The gradient of the sum of the losses: of the shape of `raw_prediction`."""
        (gradient,) = _solve(
            self, y_true, raw_prediction, sample_weight, n_threads, gradient_out=gradient_out
        )
        return gradient

    def gradient_hessian(
        self,
        y_true: Any,
        raw_prediction: Any,
        sample_weight: Any = None,
        gradient_out: Any = None,
        hessian_out: Any = None,
        n_threads: int = 1,
    ) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`gradient`, and the diagonal of the Hessian."""
        gradient, hessian = _solve(
            self, y_true, raw_prediction, sample_weight, n_threads, gradient_out=gradient_out, hessian_out=hessian_out
        )  # fmt: skip
        return gradient, hessian


class MultinomialMethods(Methods):
    """Those of several classes."""

    def gradient_proba(
        self,
        y_true: Any,
        raw_prediction: Any,
        sample_weight: Any = None,
        gradient_out: Any = None,
        proba_out: Any = None,
        n_threads: int = 1,
    ) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`gradient`, and the probabilities of the classes."""
        gradient, proba = _solve(
            self, y_true, raw_prediction, sample_weight, n_threads, gradient_out=gradient_out, proba_out=proba_out
        )  # fmt: skip
        return gradient, proba

    def predict_proba(self, raw_prediction: Any) -> Any:
        """Probabilities of the classes, of the shape of `raw_prediction`."""
        raw_prediction, plain = _logits(self, raw_prediction)
        return (
            activations.softmax(raw_prediction, n_threads=1) if plain else self.link.inverse(raw_prediction)
        )


class BinomialMethods(Methods):
    """Those of two classes."""

    def predict_proba(self, raw_prediction: Any) -> Any:
        """Probabilities of both classes, of shape (n_samples, 2)."""
        raw_prediction, plain = _logits(self, raw_prediction)
        proba = np.empty((raw_prediction.shape[0], 2), raw_prediction.dtype)
        proba[:, 1] = (
            activations.sigmoid(raw_prediction, n_threads=1) if plain else self.link.inverse(raw_prediction)
        )
        proba[:, 0] = 1 - proba[:, 1]
        return proba


class MultinomialLoss(MultinomialMethods, HalfMultinomialLoss):
    r"""Softmax cross-entropy for ``HistGradientBoostingClassifier(loss=...)``: the same trees in less time.

    For a sample of class y with raw predictions x and weight w, and with :math:`p = \mathrm{softmax}(x)`,

    .. math::

        \ell = -w \log p_y, \qquad
        \frac{\partial \ell}{\partial x_k} = w \, (p_k - [k = y]), \qquad
        \frac{\partial^2 \ell}{\partial x_k^2} = w \, p_k (1 - p_k)

    A ``sklearn._loss.loss.HalfMultinomialLoss`` whose methods ``loss``, ``loss_gradient``, ``gradient``,
    ``gradient_hessian``, ``gradient_proba`` and ``predict_proba`` call the kernels of this package. Everything is
    computed in the precision of the raw predictions, and rounded to the dtype of the outputs where it is stored.
    Nothing is copied: neither the boosting's float64 raw predictions nor its float32 gradients, whatever their order.

    Parameters
    ----------
    n_classes : int
        How many classes `y` has, at least 2, and how many columns raw predictions have; with two classes the boosting
        wants a :class:`BinomialLoss`.

    Raises
    ------
    TypeError, ValueError
        Of its methods: arrays whose dtypes, shapes or memory do not fit. Of the boosting's ``fit``: an `n_classes` that
        is not the number of classes.
    IndexError
        Of its methods: a label that is no whole number in [0, n_classes); nothing is written then.

    References
    ----------
    T. Hastie, R. Tibshirani, J. Friedman, *The Elements of Statistical Learning*, 2nd edition, section 10.6.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.ensemble import HistGradientBoostingClassifier
    >>> from xent_native.sklearn import MultinomialLoss
    >>> X, y = load_wine(return_X_y=True)
    >>> ours = HistGradientBoostingClassifier(loss=MultinomialLoss(n_classes=3), max_iter=10).fit(X, y)
    >>> theirs = HistGradientBoostingClassifier(max_iter=10).fit(X, y)
    >>> bool(abs(ours.predict_proba(X) - theirs.predict_proba(X)).max() < 1e-14)
    True
    """

    def __init__(self, n_classes: int) -> None:
        # No array has more columns.
        super().__init__(n_classes=_options.count("n_classes", n_classes, 2, sys.maxsize))

    def fit_intercept_only(self, y_true: Any, sample_weight: Any = None) -> np.ndarray:
        """Raw predictions of a model without features: logarithms of the class frequencies, less their mean.

        What the boosting starts from; it calls this once. So an `n_classes` that it would fail with is a ValueError:
        one that is not the largest label and one, or is two.
        """
        y = _arrays.labels(y_true, self.n_classes)
        weight = _arrays.weights(sample_weight, len(y))
        found = int(y.max()) + 1
        if found <= 2:
            raise ValueError(
                "n_classes must be at least 3 in boosting, and y_true hold as many: two want a BinomialLoss; "
                f"got n_classes={self.n_classes} and labels up to {found - 1}"
            )
        if found < self.n_classes:
            raise ValueError(
                f"n_classes must be {found}, one more than the largest label in y_true; got {self.n_classes}"
            )
        # scikit-learn's own takes floats alone.
        y = y if y.dtype.kind == "f" else y.astype(np.float64)
        intercept: np.ndarray = super().fit_intercept_only(y, weight)
        return intercept


class BinomialLoss(BinomialMethods, HalfBinomialLoss):
    r"""Binary cross-entropy for ``HistGradientBoostingClassifier(loss=...)``: the same trees in less time.

    For a target t with raw prediction x and weight w, and with :math:`p = 1 / (1 + e^{-x})`,

    .. math::

        \ell = -w \, (t \log p + (1 - t) \log(1 - p)), \qquad
        \frac{\partial \ell}{\partial x} = w \, (p - t), \qquad
        \frac{\partial^2 \ell}{\partial x^2} = w \, p (1 - p)

    A ``sklearn._loss.loss.HalfBinomialLoss`` whose methods ``loss``, ``loss_gradient``, ``gradient``,
    ``gradient_hessian`` and ``predict_proba`` call the kernels of this package; see :class:`MultinomialLoss`.

    Raises
    ------
    TypeError, ValueError
        Of its methods: arrays whose dtypes, shapes or memory do not fit. Of ``fit_intercept_only``, and so of the
        boosting's ``fit``: targets outside [0, 1].

    References
    ----------
    T. Hastie, R. Tibshirani, J. Friedman, *The Elements of Statistical Learning*, 2nd edition, section 4.4.1.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.ensemble import HistGradientBoostingClassifier
    >>> from xent_native.sklearn import BinomialLoss
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = HistGradientBoostingClassifier(loss=BinomialLoss(), max_iter=10).fit(X, y)
    >>> round(model.score(X, y), 2)
    0.98
    """

    def __init__(self) -> None:
        super().__init__()

    def fit_intercept_only(self, y_true: Any, sample_weight: Any = None) -> Any:
        """Raw prediction of a model without features: the logit of the mean target; targets must lie in [0, 1]."""
        y = _arrays.fractions(y_true)
        return super().fit_intercept_only(y, _arrays.weights(sample_weight, len(y)))

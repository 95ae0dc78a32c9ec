# SPDX-License-Identifier: BSD-3-Clause
"""SoftmaxRegression: multinomial logistic regression as a scikit-learn classifier."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from .. import _options, activations
from ._linear import LinearLoss
from ._objective import Prior, Solution, minimise
from ._settings import Settings

__all__ = ["SoftmaxRegression"]

_DTYPES = (np.float64, np.float32)


class SoftmaxRegression(ClassifierMixin, BaseEstimator):
    r"""Multinomial logistic regression, with an L2 penalty.

    Minimises, over the coefficients W and intercepts b, for rows x with labels y and weights w:

    .. math::

        C \sum_i w_i \, \ell(W x_i + b, y_i) + \tfrac{1}{2} \lVert W \rVert^2, \qquad
        \ell(z, y) = \log \sum_c e^{z_c} - z_y

    the objective of ``sklearn.linear_model.LogisticRegression``. As there, two classes have one row of coefficients,
    those of the second class.

    Parameters
    ----------
    C : float, default 1.0
        Inverse of the strength of the penalty, above 0; ``inf`` for none.
    fit_intercept : bool, default True
        Whether there are intercepts; they are not penalised.
    class_weight : dict or "balanced", optional
        Factors of the sample weights, by label; "balanced" gives all classes the same weight in sum.
    label_smoothing : float, default 0.0
        In [0, 1]: how much of each label is spread over all classes.
    tol : float, default 1e-4
        The fit ends when no entry of the gradient of the objective, divided by C and the sum of the weights, with
        features scaled to unit variance, is larger.
    max_iter : int, default 100
        Most iterations of L-BFGS.
    warm_start : bool, default False
        Whether `fit` starts from the coefficients that the last one found.
    n_threads : int, optional
        At least 1; see :func:`xent_native.set_num_threads`. Coefficients do not depend on it.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    coef_ : ndarray of shape (n_classes, n_features), or (1, n_features) for two classes
        W, in the dtype of X.
    intercept_ : ndarray of shape (n_classes,), or (1,) for two classes
        b; zeros without intercepts.
    n_iter_ : ndarray of shape (1,)
        Iterations of the last fit.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, if all are strings.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : Other penalties and solvers.

    Notes
    -----
    Each step of SciPy's L-BFGS takes one visit of X: in blocks that stay in the cache, BLAS computes logits, a kernel
    turns them into their gradient, and BLAS takes that to the coefficients. Features are centred and scaled inside of
    the solver, in formulas alone: neither X nor the optimum changes, but columns of different units need few
    iterations.

    float32 is computed in float32, sums in float64. `tol` below about 1e-6 asks for more than that gives.

    References
    ----------
    C. M. Bishop, *Pattern Recognition and Machine Learning*, Springer 2006, section 4.3.4. R. H. Byrd, P. Lu, J.
    Nocedal, C. Zhu, "A limited memory algorithm for bound constrained optimization", SIAM J. Sci. Comput. 16 (1995).

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from xent_native.sklearn import SoftmaxRegression
    >>> X, y = load_wine(return_X_y=True)
    >>> model = SoftmaxRegression().fit(X, y)
    >>> round(model.score(X, y), 3), model.predict_proba(X[:1]).round(3).tolist()
    (0.994, [[1.0, 0.0, 0.0]])
    """

    def __init__(
        self,
        *,
        C: float = 1.0,
        fit_intercept: bool = True,
        class_weight: Any = None,
        label_smoothing: float = 0.0,
        tol: float = 1e-4,
        max_iter: int = 100,
        warm_start: bool = False,
        n_threads: int | None = None,
    ) -> None:
        self.C = C
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.n_threads = n_threads

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks an estimator about itself."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> SoftmaxRegression:
        """Fit the coefficients to data.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            float32 and float64 in C order are not copied; other dtypes become float64.
        y : array_like of shape (n_samples,)
            Labels of any kind, of at least two classes.
        sample_weight : array_like of shape (n_samples,), optional
            Weights of the samples.

        Returns
        -------
        SoftmaxRegression
            The object itself.

        Raises
        ------
        ValueError, TypeError
            If an option is out of range, X or y do not fit, or y has one class alone.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If `max_iter` iterations do not bring the gradient to `tol`.
        """
        settings = Settings.of(self)
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=_DTYPES, order="C")
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y must have at least two classes; got one class, {_options.shown(classes[0])}")
        weight = self._weights(X, y, classes, codes, sample_weight)
        start = self._start(X, classes) if settings.warm_start else None
        self.classes_ = classes
        prior = Prior(0.0, 0.0, 1.0 / settings.C, 0.0)
        self._solve(X, codes, weight, prior, start, settings)
        return self

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> SoftmaxRegression:
        r"""Learn from one batch of data after the other.

        What earlier batches taught is kept as a Gaussian of the coefficients: their values m and precisions q, to which
        a batch adds the curvature of its loss. A batch moves them to the minimum of

        .. math::

            \sum_i w_i \, \ell(W x_i + b, y_i) + \tfrac{1}{2} \sum q \, (W - m)^2, \qquad
            q \leftarrow q + \sum_i w_i \, x_i^2 \, p_i (1 - p_i)

        There is no learning rate, and the first batch gives what `fit` gives. After `fit`, this goes on from there.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            As in `fit`.
        y : array_like of shape (n_samples,)
            Labels, all of them in `classes`.
        classes : array_like, optional
            All labels there are. Needed in the first call, unless `fit` came before; else it must be the same.
        sample_weight : array_like of shape (n_samples,), optional
            Weights of the samples.

        Returns
        -------
        SoftmaxRegression
            The object itself.

        Raises
        ------
        ValueError, TypeError
            As `fit`; also for labels outside of `classes`, and for ``class_weight="balanced"``, which needs all data.

        References
        ----------
        O. Chapelle, L. Li, "An empirical evaluation of Thompson sampling", NIPS 2011, algorithm 3.
        """
        settings = Settings.of(self)
        is_first = not hasattr(self, "_precision")
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=_DTYPES, order="C", reset=is_first)
        check_classification_targets(y)
        known = self._known_classes(classes, is_first)
        codes = np.searchsorted(known, y)
        codes[codes == len(known)] = 0
        if (known[codes] != y).any():
            strange = np.setdiff1d(y, known)
            raise ValueError(
                f"y must hold labels in classes {_options.shown(known)}; got {_options.shown(strange)}"
            )
        weight = self._weights(X, y, known, codes, sample_weight)
        self.classes_ = known
        if is_first:
            self._solve(X, codes, weight, Prior(0.0, 0.0, 1.0 / settings.C, 0.0), None, settings)
            return self
        coef, intercept = self.coef_.astype(np.float64), self.intercept_.astype(np.float64)
        prior = Prior(coef, intercept, *self._precision)
        self._solve(X, codes, weight, prior, (coef, intercept), settings)
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Logits.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
            In the dtype of `coef_` and X.
        """
        z = self._logits(X)
        return z.ravel() if len(self.classes_) == 2 else z

    def predict(self, X: Any) -> np.ndarray:
        """The most likely label of each sample.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples,)
            Items of `classes_`.
        """
        z = self._logits(X)
        best = (z[:, 0] > 0).astype(np.intp) if len(self.classes_) == 2 else z.argmax(axis=1)
        return np.asarray(self.classes_[best])

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        z = self._full_logits(X)
        return np.asarray(activations.softmax(z, out=z, n_threads=self.n_threads))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithms of the probabilities, exact where these are too small for a float.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        z = self._full_logits(X)
        return np.asarray(activations.log_softmax(z, out=z, n_threads=self.n_threads))

    def _logits(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=_DTYPES, reset=False)
        z = X @ self.coef_.T
        z += self.intercept_
        return np.asarray(z)

    def _full_logits(self, X: Any) -> np.ndarray:
        """One for each class: with two classes, that of the first is 0."""
        z = self._logits(X)
        return np.hstack([np.zeros_like(z), z]) if len(self.classes_) == 2 else z

    def _weights(
        self, X: Any, y: np.ndarray, classes: np.ndarray, codes: np.ndarray, sample_weight: Any
    ) -> np.ndarray | None:
        """Weights of the samples times those of their classes, in float64; None if all are 1."""
        if sample_weight is None and self.class_weight is None:
            return None
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if self.class_weight is not None:
            check_class_weight(self.class_weight)
            factors = compute_class_weight(self.class_weight, classes=classes, y=y, sample_weight=weight)
            weight = weight * factors[codes]
        total = weight.sum()
        if not (np.isfinite(total) and total > 0):
            raise ValueError(
                f"sample_weight, times class_weight, must have a finite sum above 0; got a sum of {total}"
            )
        return np.asarray(weight)

    def _start(self, X: Any, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """The coefficients of the last fit, if there are any for the same classes and features."""
        if not hasattr(self, "coef_") or not np.array_equal(self.classes_, classes):
            return None
        if self.coef_.shape[1] != X.shape[1]:
            return None
        return self.coef_.astype(np.float64), self.intercept_.astype(np.float64)

    def _known_classes(self, classes: Any, is_first: bool) -> np.ndarray:
        """The classes of partial_fit."""
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight must be a dict or None for partial_fit, which does not see all data; got 'balanced'"
            )
        if classes is None:
            if is_first:
                raise ValueError("classes must be given in the first call of partial_fit; got None")
            return np.asarray(self.classes_)
        given = np.asarray(classes)
        if given.ndim != 1:
            raise ValueError(f"classes must have one dimension; got shape {given.shape}")
        known = np.unique(given)
        if not is_first and not np.array_equal(known, self.classes_):
            raise ValueError(f"classes must be those of the first call, {self.classes_}; got {known}")
        if len(known) < 2:
            raise ValueError(f"classes must hold at least two labels; got {known}")
        return known

    def _solve(
        self,
        X: Any,
        codes: np.ndarray,
        weight: np.ndarray | None,
        prior: Prior,
        start: Any,
        settings: Settings,
    ) -> None:
        """Minimise, and keep what was found; `start` is the prior's mean unless given."""
        classes = len(self.classes_)
        loss = LinearLoss(X, codes, weight, classes, settings.smoothing, settings.threads)
        shape = (loss.outputs, loss.features)
        if start is None:
            start = np.zeros(shape), np.zeros(shape[0])
        found = minimise(loss, prior, classes, settings.fit_intercept, start, settings.tol, settings.max_iter)
        self.coef_ = found.coef.astype(X.dtype, copy=False)
        self.intercept_ = found.intercept.astype(X.dtype, copy=False)
        self.n_iter_ = np.array([found.iterations], np.int32)
        self._precision = (
            prior.coef_precision + found.curvature,
            prior.intercept_precision + found.intercept_curvature,
        )
        if found.status != 0:
            warn_of_no_convergence(found, settings)


def check_class_weight(class_weight: Any) -> None:
    """ValueError for a weight that is none; what is no dict is scikit-learn's to judge."""
    if not isinstance(class_weight, dict):
        return
    for label, weight in class_weight.items():
        try:
            found = _options.number(weight)
        except TypeError:
            found = math.nan
        if not (math.isfinite(found) and found >= 0):
            raise ValueError(
                f"class_weight must have finite weights of at least 0; got {_options.shown(weight)} for the label "
                f"{_options.shown(label)}"
            )


def warn_of_no_convergence(found: Solution, settings: Settings) -> None:
    """A ConvergenceWarning at the line that called `fit` or `partial_fit`."""
    advice = "Scale the data, or make tol larger: rounding does not let the gradient become smaller."
    if found.iterations >= settings.max_iter:
        advice = f"Increase the number of iterations (max_iter={settings.max_iter}), or make tol larger."
    warnings.warn(
        f"lbfgs failed to converge after {found.iterations} iteration(s) (status={found.status}):\n{found.message}\n\n"
        f"{advice}",
        ConvergenceWarning,
        stacklevel=4,
    )

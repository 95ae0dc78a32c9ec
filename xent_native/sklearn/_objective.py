# SPDX-License-Identifier: BSD-3-Clause
"""What SoftmaxRegression minimises, in coordinates in which L-BFGS is fast, and the call of SciPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize

from ._linear import LinearLoss, one_blas_thread

# As scikit-learn's LogisticRegression has them: many steps of the line search, and no end before the gradient is small
# or nothing can be gained.
LINE_SEARCH = 50
LEAST_GAIN = 64 * np.finfo(float).eps


@dataclass(frozen=True)
class Prior:
    """A Gaussian that coefficients are drawn to: means, and precisions (0: no pull), scalars or one for each."""

    coef: Any
    intercept: Any
    coef_precision: Any
    intercept_precision: Any


@dataclass(frozen=True)
class Solution:
    """The end of a minimisation, with the curvature of the loss there: the diagonal of its Hessian."""

    coef: np.ndarray
    intercept: np.ndarray
    curvature: np.ndarray
    intercept_curvature: np.ndarray
    iterations: int
    status: int
    message: str


class Objective:
    r"""The penalised mean loss, as a function of one vector.

    .. math::

        f(W, b) = \frac{1}{\sum_i w_i} \left( L(W, b)
        + \tfrac{1}{2} \sum P \, (W - M)^2 + \tfrac{1}{2} \sum Q \, (b - m)^2 \right)

    The vector holds V and c, with :math:`W = V / s` and :math:`b = c - W \mu`: the coefficients for features that are
    centred by their mean :math:`\mu` and scaled by s. That changes neither f nor X, but f has about the same curvature
    along all axes, whatever the units of the features are; else L-BFGS takes hundreds of iterations for what it now
    does in some tens. With v the variance of a feature and h the mean curvature of the loss of a row whose classes are
    equally likely, the curvature along a coefficient is :math:`h v + P / \sum w`, so that s is its root over that of h.
    """

    def __init__(self, loss: LinearLoss, prior: Prior, classes: int, fit_intercept: bool) -> None:
        self.loss, self.prior, self.fit_intercept = loss, prior, fit_intercept
        self.shape = (loss.outputs, loss.features)
        mean, variance, rounding = loss.moments()
        if not fit_intercept:
            variance, mean = variance + mean**2, np.zeros_like(mean)
        curvature = (classes - 1) / classes**2 * loss.weight_sum
        scale = np.sqrt(variance + rounding + prior.coef_precision / curvature)
        self.scale = np.where(scale > 0, scale, 1.0)
        self.mean = mean
        self.intercept_scale = np.sqrt(1.0 + prior.intercept_precision / curvature)

    def vector(self, W: np.ndarray, b: np.ndarray) -> np.ndarray:
        """V and c."""
        V = (W * self.scale).ravel()
        return np.concatenate([V, (b + W @ self.mean) * self.intercept_scale]) if self.fit_intercept else V

    def model(self, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """W and b."""
        size = self.shape[0] * self.shape[1]
        W = vector[:size].reshape(self.shape) / self.scale
        if not self.fit_intercept:
            return W, np.zeros(self.shape[0])
        return W, vector[size:] / self.intercept_scale - W @ self.mean

    def __call__(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """The value of f, and its gradient."""
        W, b = self.model(vector)
        value, grad_W, grad_b = self.loss.value_and_grad(W, b)
        prior = self.prior
        pull = prior.coef_precision * (W - prior.coef)
        value += 0.5 * float(np.vdot(pull, W - prior.coef))
        grad_W += pull
        if not self.fit_intercept:
            return value / self.loss.weight_sum, (grad_W / self.scale).ravel() / self.loss.weight_sum
        pull_b = prior.intercept_precision * (b - prior.intercept)
        value += 0.5 * float(np.sum(pull_b * (b - prior.intercept)))
        grad_b += pull_b
        grad_V = (grad_W - grad_b[:, None] * self.mean) / self.scale
        gradient = np.concatenate([grad_V.ravel(), grad_b / self.intercept_scale])
        gradient /= self.loss.weight_sum
        return value / self.loss.weight_sum, gradient


def minimise(
    loss: LinearLoss, prior: Prior, classes: int, fit_intercept: bool, start: tuple[np.ndarray, np.ndarray], tol: float,
    max_iter: int,
) -> Solution:  # fmt: skip
    """L-BFGS from `start`, until no entry of the gradient is larger than `tol`."""
    with one_blas_thread(), loss:
        objective = Objective(loss, prior, classes, fit_intercept)
        result = optimize.minimize(
            objective,
            objective.vector(*start),
            method="L-BFGS-B",
            jac=True,
            options={"maxiter": max_iter, "maxls": LINE_SEARCH, "gtol": tol, "ftol": LEAST_GAIN},
        )
        W, b = objective.model(result.x)
        _, curvature, intercept_curvature = loss.curvature(W, b)
    return Solution(
        W, b, curvature, intercept_curvature, int(result.nit), int(result.status), str(result.message)
    )

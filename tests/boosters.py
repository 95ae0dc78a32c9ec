# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of the boosters' objectives share: data sets, and objectives by their formulas."""

from __future__ import annotations

import numpy as np

OPTIONS = [
    {},
    {"label_smoothing": 0.2},
    {"class_weight": [0.5, 2.0, 1.0]},
    {"gamma": 2.0},
    {"gamma": 1.5, "label_smoothing": 0.1, "class_weight": {1: 3.0}},
]


def uneven_iris():
    """Iris with classes of 50, 30 and 10 flowers, and weights: (X, y, weights)."""
    from sklearn.datasets import load_iris

    X, y = load_iris(return_X_y=True)
    keep = np.r_[0:50, 50:80, 100:110]
    return X[keep], y[keep], np.random.default_rng(0).uniform(0.5, 2, len(keep))


def cancer():
    """Two classes: (X, y, weights)."""
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    return X, y, np.random.default_rng(0).uniform(0.5, 2, len(y))


def log_softmax(x):
    x = x - x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def effective(y, classes, options):
    """The effective targets of labels."""
    smoothing = options.get("label_smoothing", 0.0)
    weights = options.get("class_weight", {})
    weights = dict(enumerate(weights)) if isinstance(weights, list) else weights
    u = np.eye(classes)[y.astype(int)] * (1 - smoothing) + smoothing / classes
    return u * [weights.get(c, 1.0) for c in range(classes)]


def losses(y, x, options):
    """Of each row, in float64."""
    log_p = log_softmax(x)
    return -(
        effective(y, x.shape[1], options) * (1 - np.exp(log_p)) ** options.get("gamma", 0.0) * log_p
    ).sum(1)


def grad_and_hess(y, x, options, weight=None):
    """Gradient, and the whole Hessian of the cross-entropy with the same gradient, in float64."""
    gamma, u, log_p = options.get("gamma", 0.0), effective(y, x.shape[1], options), log_softmax(x)
    p = np.exp(log_p)
    v = u * ((1 - p) ** gamma - gamma * (1 - p) ** (gamma - 1) * p * log_p if gamma else 1.0)
    mass = v.sum(axis=1)
    weight = np.ones(len(x)) if weight is None else weight
    grad = (mass[:, None] * p - v) * weight[:, None]
    whole = np.eye(x.shape[1]) * p[:, :, None] - p[:, :, None] * p[:, None, :]
    return grad, whole * (mass * weight)[:, None, None]


def least_loss(options):
    """Of a label of iris: without smoothing 0; with it, at the smoothed target (of uneven_iris, about)."""
    _, y, _ = uneven_iris()
    smoothed = np.log(effective(y, 3, {"label_smoothing": options.get("label_smoothing", 0.0)}) + 1e-30)
    return losses(y, smoothed, options).mean()

# SPDX-License-Identifier: BSD-3-Clause
"""Makes the pictures of scikit-learn.md, from data sets that ship with scikit-learn: ``python docs/pictures.py``.

Needs scikit-learn and matplotlib.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression

from xent_native.sklearn import SoftmaxRegression, log_loss

FOLDER = Path(__file__).parent / "pictures"
ITERATIONS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500)


def objective(model, X, y) -> float:
    """What both classes minimise, with C = 1."""
    return log_loss(y, model.predict_proba(X), normalize=False) + 0.5 * float((model.coef_**2).sum())


def convergence() -> None:
    """Objective above the optimum by iterations, for data as they are."""
    X, y = load_breast_cancer(return_X_y=True)
    best = objective(SoftmaxRegression(tol=1e-10, max_iter=20000).fit(X, y), X, y)
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for kind, name in ((LogisticRegression, "LogisticRegression"), (SoftmaxRegression, "SoftmaxRegression")):
        fits = [kind(max_iter=n, tol=1e-9).fit(X, y) for n in ITERATIONS]
        axes.loglog(
            ITERATIONS, [max(objective(fit, X, y) / best - 1, 1e-10) for fit in fits], "o-", label=name
        )
    axes.set(
        xlabel="iterations (max_iter)",
        ylabel="objective / optimum - 1",
        title="Breast cancer, data as they are",
    )
    axes.legend()
    save(figure, "convergence")


def calibration() -> None:
    """Accuracy of predictions by their confidence, in bins with equally many."""
    X, y = load_digits(return_X_y=True)
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    axes.plot([0.4, 1], [0.4, 1], "k:", label="calibrated")
    for name, options in (
        ("no penalty, labels as they are", {"C": np.inf}),
        ("no penalty, labels smoothed by 0.1", {"C": np.inf, "label_smoothing": 0.1}),
        ("C = 0.001", {"C": 0.001}),
    ):
        model = SoftmaxRegression(max_iter=500, **options).fit(X[:500], y[:500])
        p = model.predict_proba(X[500:])
        order = np.argsort(p.max(axis=1))
        right = (model.predict(X[500:]) == y[500:])[order]
        bins = np.array_split(np.arange(len(order)), 8)
        loss = log_loss(y[500:], p)
        label = f"{name}: log loss {loss:.2f}"
        axes.plot(
            [p.max(axis=1)[order][b].mean() for b in bins], [right[b].mean() for b in bins], "o-", label=label
        )
    axes.set(xlabel="probability of the most likely class", ylabel="how often it is right", title="Digits")
    axes.legend(fontsize="small")
    save(figure, "calibration")


def save(figure, name: str) -> None:
    """As SVG that is the same whenever it is made."""
    FOLDER.mkdir(exist_ok=True)
    figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    matplotlib.rcParams["svg.hashsalt"] = "xent_native"
    warnings.simplefilter("ignore")  # of fits that end after few iterations, as they shall
    convergence()
    calibration()

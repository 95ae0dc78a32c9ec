# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn on these kernels: metrics, a classifier, losses for its boosting, and a patch for its own estimators.

Needs scikit-learn and SciPy, the extra ``sklearn``. They are imported when a name of this module is first used.

>>> from xent_native.sklearn import log_loss
>>> round(log_loss(["spam", "ham", "ham", "spam"], [[0.1, 0.9], [0.9, 0.1], [0.8, 0.2], [0.35, 0.65]]), 5)
0.21616
>>> from sklearn.datasets import load_iris
>>> from sklearn.ensemble import HistGradientBoostingClassifier
>>> from xent_native.sklearn import MultinomialLoss
>>> X, y = load_iris(return_X_y=True)
>>> model = HistGradientBoostingClassifier(loss=MultinomialLoss(n_classes=3), max_iter=5).fit(X, y)
>>> round(model.score(X, y), 2)
0.97
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._losses import BinomialLoss, MultinomialLoss
    from ._metrics import d2_log_loss_score, log_loss
    from ._patch import patch_sklearn, unpatch_sklearn
    from ._softmax_regression import SoftmaxRegression

__all__ = [
    "BinomialLoss",
    "MultinomialLoss",
    "SoftmaxRegression",
    "d2_log_loss_score",
    "log_loss",
    "patch_sklearn",
    "unpatch_sklearn",
]


def _home(name: str) -> Any:
    """The module that has a public name, and no other: the patch needs more of scikit-learn than the rest does."""
    if name in ("BinomialLoss", "MultinomialLoss"):
        from . import _losses

        return _losses
    if name in ("d2_log_loss_score", "log_loss"):
        from . import _metrics

        return _metrics
    if name == "SoftmaxRegression":
        from . import _softmax_regression

        return _softmax_regression
    from . import _patch

    return _patch


def __getattr__(name: str) -> Any:
    """A public name, when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(_home(name), name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("sklearn", "scipy"):
            raise
        raise ModuleNotFoundError(
            f"{__name__}.{name} needs {error.name}: pip install 'xent-native[sklearn]'", name=error.name
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

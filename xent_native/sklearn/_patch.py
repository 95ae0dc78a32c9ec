# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's own estimators and log_loss on the kernels of this package, until that is undone.

Objects are patched, not names: the methods of the two loss classes, and the functions inside of what log_loss and
d2_log_loss_score are decorated with. So it makes no difference who imported these names, or when; estimators that are
being fitted, and losses that exist already, change with them; and pickles hold what they always do.
"""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable
from types import CellType, TracebackType
from typing import Any

import sklearn
import sklearn.metrics
from sklearn._loss.loss import HalfBinomialLoss, HalfMultinomialLoss

from . import _losses, _metrics

__all__ = ["patch_sklearn", "unpatch_sklearn"]

VERSIONS = ("1.9",)  # of scikit-learn, whose own tests pass while it is patched: tests/hosts/sklearn_suite.py

METRICS = ("log_loss", "d2_log_loss_score")

_ABSENT = object()


class _Method:
    """A method of a class, in place of what the class has or inherits."""

    def __init__(self, owner: type, name: str, function: Any) -> None:
        self.owner, self.name, self.function = owner, name, function
        self.original: Any = _ABSENT

    def apply(self) -> None:
        self.original = self.owner.__dict__.get(self.name, _ABSENT)
        setattr(self.owner, self.name, self.function)

    def undo(self) -> None:
        if self.owner.__dict__.get(self.name) is not self.function:
            return  # somebody else has patched it since
        if self.original is _ABSENT:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, self.original)


class _Decorated:
    """A function in place of the one that scikit-learn's validation of parameters wraps."""

    def __init__(self, wrapper: Any, replacement: Callable[..., Any]) -> None:
        self.cell = _cell_of_wrapped(wrapper)
        self.original = self.cell.cell_contents
        self.function = _with_fallback(self.original, replacement)

    def apply(self) -> None:
        self.cell.cell_contents = self.function

    def undo(self) -> None:
        if self.cell.cell_contents is self.function:
            self.cell.cell_contents = self.original


def _cell_of_wrapped(wrapper: Any) -> CellType:
    for cell in wrapper.__closure__ or ():
        if cell.cell_contents is wrapper.__wrapped__:
            return cell  # type: ignore[no-any-return]
    raise RuntimeError(
        f"{wrapper.__module__}.{wrapper.__qualname__} is not as scikit-learn {sklearn.__version__} made it: "
        "another library has patched it"
    )


_inside: contextvars.ContextVar[bool] = contextvars.ContextVar("xent_native_inside_a_metric", default=False)


def _with_fallback(original: Callable[..., Any], replacement: Callable[..., Any]) -> Callable[..., Any]:
    """`replacement`, and `original` where the replacement itself asks scikit-learn."""

    @functools.wraps(original)
    def function(*args: Any, **kwargs: Any) -> Any:
        if _inside.get():
            return original(*args, **kwargs)
        token = _inside.set(True)
        try:
            return replacement(*args, **kwargs)
        finally:
            _inside.reset(token)

    return function


def _replacements() -> list[_Method | _Decorated]:
    found: list[_Method | _Decorated] = []
    for owner, classes in (
        (HalfMultinomialLoss, (_losses.Methods, _losses.MultinomialMethods)),
        (HalfBinomialLoss, (_losses.Methods, _losses.BinomialMethods)),
    ):
        found += [
            _Method(owner, name, value)
            for own in classes
            for name, value in vars(own).items()
            if callable(value) and not name.startswith("_")
        ]
    found += [_Decorated(getattr(sklearn.metrics, name), getattr(_metrics, name)) for name in METRICS]
    return found


class _State:
    """What is patched, and for whom: calls of patch_sklearn() that stand, and blocks that are open."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.applied: list[_Method | _Decorated] = []
        self.standing = self.blocks = 0
        self.generation = 0  # grows with each unpatch_sklearn(): blocks from before it end without effect

    def apply(self) -> None:
        if self.applied:
            return
        _check_version()
        self.applied = _replacements()
        for replacement in self.applied:
            replacement.apply()

    def undo(self) -> None:
        for replacement in reversed(self.applied):
            replacement.undo()
        self.applied = []


_state = _State()


def _check_version() -> None:
    if sklearn.__version__.split(".")[:2] not in [version.split(".") for version in VERSIONS]:
        raise RuntimeError(
            f"patch_sklearn() knows scikit-learn {', '.join(VERSIONS)}; found {sklearn.__version__}, whose private "
            "parts may differ. xent_native's own SoftmaxRegression and log_loss need no patch"
        )


class Patch:
    """What patch_sklearn() returns: the end of a ``with`` block takes the patch back."""

    def __init__(self) -> None:
        self._generation = -1
        self._open = False

    def __enter__(self) -> Patch:
        """The call that made this one stands for the block alone."""
        with _state.lock:
            if self._open:
                raise RuntimeError("a patch of patch_sklearn() can be in one with block at a time")
            if self._generation == _state.generation and _state.standing:
                _state.standing -= 1
            _state.apply()
            _state.blocks += 1
            self._generation, self._open = _state.generation, True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Undoes the patch, unless others still want it."""
        with _state.lock:
            if not self._open:
                raise RuntimeError("a patch of patch_sklearn() can end a with block only inside of one")
            self._open = False
            if self._generation != _state.generation:
                return
            self._generation = -1
            _state.blocks -= 1
            if not _state.standing and not _state.blocks:
                _state.undo()


def patch_sklearn() -> Patch:
    """Let scikit-learn's own estimators and metrics run on the kernels of this package.

    From then on these do: ``LogisticRegression`` and ``LogisticRegressionCV`` (the solvers lbfgs, newton-cg and
    newton-cholesky), ``HistGradientBoostingClassifier``, ``GradientBoostingClassifier`` with log loss,
    ``CalibratedClassifierCV``, ``log_loss``, ``d2_log_loss_score`` and the scorer ``neg_log_loss``. Their results are
    the same but for the rounding of the last digits.

    Calling it twice is as good as once. It holds for the process: for all threads, and for estimators that exist
    already or are just being fitted. Processes that joblib starts are not patched. As a context manager it is undone at
    the end of the block, if there is neither another open block nor a call that stands.

    Returns
    -------
    Patch
        For a ``with`` statement.

    Raises
    ------
    RuntimeError
        For a version of scikit-learn that is not known (1.9 is), or if another library has patched the same function.

    See Also
    --------
    unpatch_sklearn : Undoes it.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from xent_native.sklearn import patch_sklearn
    >>> X, y = load_iris(return_X_y=True)
    >>> with patch_sklearn():
    ...     ours = LogisticRegression(solver="newton-cholesky").fit(X, y)
    >>> theirs = LogisticRegression(solver="newton-cholesky").fit(X, y)
    >>> bool(abs(ours.coef_ - theirs.coef_).max() < 1e-6)
    True
    """
    patch = Patch()
    with _state.lock:
        _state.apply()
        _state.standing += 1
        patch._generation = _state.generation
    return patch


def unpatch_sklearn() -> None:
    """Undo :func:`patch_sklearn`, however often it was called and whatever blocks are open.

    What somebody else has patched since stays as it is.

    Examples
    --------
    >>> from xent_native.sklearn import patch_sklearn, unpatch_sklearn
    >>> patch = patch_sklearn()
    >>> unpatch_sklearn()
    """
    with _state.lock:
        _state.undo()
        _state.standing = _state.blocks = 0
        _state.generation += 1

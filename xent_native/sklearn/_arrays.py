# SPDX-License-Identifier: BSD-3-Clause
"""One call of a kernel as scikit-learn's losses make it: labels in floats, and gradients that may be narrower.

No scikit-learn here. Raw predictions are float32 or float64, of any strides; so are the outputs, but for losses all of
one dtype. float64 goes to float32 in the kernel itself, after everything was computed in float64. float32 goes to
float64 by way of a copy of the raw predictions: scikit-learn's estimators never ask for that.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _copy, _core, _problem, runtime

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_NARROW = {FLOATS[0]: _core.FLOATS[FLOATS[0]], FLOATS[1]: _core.FLOAT64_TO_FLOAT32}  # to float32
_SUM, _PLAIN = _core.REDUCTIONS["sum"], _core.SHAPES["plain"]


def floats(name: str, array: Any) -> np.ndarray:
    """An ndarray of float32 or float64; TypeError for anything else."""
    if not isinstance(array, np.ndarray) or array.dtype not in FLOATS:
        kind = f"dtype {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"{name} must be a NumPy array of float32 or float64; got {kind}")
    return array


def check_shape(shape: tuple[int, ...], several: bool, classes: int | None = None) -> None:
    """ValueError unless raw predictions have `several` columns, `classes` if that is known, or have no such axis."""
    if several:
        fits = len(shape) == 2 and shape[1] > 0 and classes in (None, shape[1])
        columns = "n_classes" if classes is None else f"n_classes={classes}"
        expected = f"(n_samples, {columns})"
    else:
        fits, expected = len(shape) == 1, "(n_samples,)"
    if not fits:
        raise ValueError(f"raw_prediction must have shape {expected}; got {tuple(shape)}")


def vector(name: str, array: Any) -> np.ndarray:
    """Any array-like with one number for each of some samples."""
    found = _problem.as_array(name, array)
    if found.ndim != 1 or found.size == 0:
        raise ValueError(f"{name} must have shape (n_samples,), not empty; got {found.shape}")
    return found


def labels(y_true: Any, classes: int) -> np.ndarray:
    """Labels in [0, n_classes), as the kernel takes them; for once per fit, it takes passes of its own."""
    y = vector("y_true", y_true)
    _label_code(y)
    fits = (y >= 0) & (y < classes) & (np.floor(y) == y)
    if not fits.all():
        raise _label_error(y, int(fits.argmin()), f"n_classes={classes}")
    return y


def fractions(y_true: Any) -> np.ndarray:
    """Targets in [0, 1], for once per fit."""
    y = vector("y_true", y_true)
    fits = (y >= 0) & (y <= 1)
    if not fits.all():
        row = int(fits.argmin())
        raise ValueError(f"y_true must lie in [0, 1]; got {y[row]} at index {row}")
    return y


def weights(sample_weight: Any, rows: int) -> np.ndarray | None:
    """One weight for each sample, of any real dtype."""
    if sample_weight is None:
        return None
    return _of_rows("sample_weight", _problem.as_array("sample_weight", sample_weight), rows)


def _of_rows(name: str, array: np.ndarray, rows: int) -> np.ndarray:
    """One value for each row, contiguous."""
    if array.shape != (rows,):
        raise ValueError(f"{name} must have shape ({rows},), one value per sample; got {array.shape}")
    return _copy.contiguous(array, array.dtype)


def _is_same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether both are the same numbers in memory, such as an array and a view of all of it."""
    return one is other or (
        one.dtype == other.dtype
        and one.shape == other.shape
        and one.strides == other.strides
        and np.may_share_memory(one, other)  # cheaper than the next line, and mostly false
        and one.__array_interface__["data"] == other.__array_interface__["data"]
    )


def _matrix(array: np.ndarray) -> np.ndarray:
    """As C takes it: of one column where there is one value per sample."""
    return array if array.ndim == 2 else array[:, None]


class Call:
    """The arrays of a call, checked, and the outputs in memory that C can walk.

    Parameters
    ----------
    y_true, sample_weight
        As scikit-learn has them.
    raw_prediction : ndarray of shape (n_samples, n_columns) or (n_samples,)
        Checked already.
    n_threads : int
        At least 1.
    outputs : dict
        Those that are wanted, None for a new one: ``loss_out``, ``gradient_out``, ``hessian_out``, ``proba_out``. All
        but losses have the shape of `raw_prediction`. One of them may take its place in memory; nothing else may
        overlap.
    """

    def __init__(
        self,
        y_true: Any,
        raw_prediction: np.ndarray,
        sample_weight: Any,
        n_threads: Any,
        outputs: dict[str, Any],
    ) -> None:
        self.given = raw_prediction
        self.threads = runtime.check_threads(n_threads)
        rows = len(self.given)
        self.y = _of_rows("y_true", _problem.as_array("y_true", y_true), rows)
        self.weight = self.loss = None
        if sample_weight is not None:
            self.weight = _of_rows("sample_weight", floats("sample_weight", sample_weight), rows)
        self.pending: list[tuple[np.ndarray, np.ndarray]] = []
        self._check({name: out for name, out in outputs.items() if out is not None})
        self.results = self._with_new(outputs)
        self.planes = {}
        for name, out in self.results.items():
            if name == "loss_out":
                self.loss = self._native(out, out.flags.aligned)
            else:
                plane = _matrix(out)
                self.planes[name] = self._native(plane, _problem.passable(plane, 1) is plane)
        self._choose_dtype()

    def _check(self, given: dict[str, Any]) -> None:
        inputs: dict[str, Any] = {
            "y_true": self.y,
            "raw_prediction": self.given,
            "sample_weight": self.weight,
        }
        for name, out in given.items():
            shape = self.given.shape[:1] if name == "loss_out" else self.given.shape
            _problem.output(name, out, shape, FLOATS)
            others = {**inputs, **{key: value for key, value in given.items() if key != name}}
            if _is_same(out, inputs["raw_prediction"]):
                del others["raw_prediction"]
                if name != "gradient_out":  # the kernels write that alone over what they read
                    self.given = inputs["raw_prediction"].copy("K")
            _problem.refuse_overlap(name, out, others)

    def _with_new(self, outputs: dict[str, Any]) -> dict[str, np.ndarray]:
        """New arrays where none is given: in the dtype and order of those that are, as scikit-learn makes them."""
        given = {name: out for name, out in outputs.items() if out is not None}
        dtype = next(iter(given.values()), self.given).dtype
        given.pop("loss_out", None)
        like = next(iter(given.values()), self.given)
        return {
            name: out
            if out is not None
            else np.empty(len(like), dtype)
            if name == "loss_out"
            else np.empty_like(like, dtype=dtype)
            for name, out in outputs.items()
        }

    def _native(self, out: np.ndarray, fits: bool) -> np.ndarray:
        if fits:
            return out
        native = np.empty(out.shape, out.dtype)
        self.pending.append((native, out))
        return native

    def _choose_dtype(self) -> None:
        """`x`, which C reads, and `code`, what it calls the dtypes of this and of the outputs."""
        dtypes = {plane.dtype for plane in self.planes.values()}
        if len(dtypes) > 1:
            raise ValueError(f"{' and '.join(self.planes)} must have the same dtype; got float32 and float64")
        x = _matrix(self.given)
        out = dtypes.pop() if dtypes else x.dtype
        if out == FLOATS[1]:
            x = _copy.converted(x, out, copy=False)
        self.x = _problem.passable(x, 1)
        self.code = _NARROW[self.x.dtype] if out == FLOATS[0] else _core.FLOATS[FLOATS[1]]

    def finish(self) -> tuple[np.ndarray, ...]:
        """The outputs; those that C could not walk get their values."""
        for native, out in self.pending:
            out[...] = native
        return tuple(self.results.values())

    def weight_code(self) -> int:
        """What the core calls the dtype of the weights."""
        return 0 if self.weight is None else _core.FLOATS[self.weight.dtype]


def multinomial(
    y_true: Any, raw_prediction: np.ndarray, sample_weight: Any, n_threads: Any, outputs: dict[str, Any]
) -> tuple[np.ndarray, ...]:
    """Softmax cross-entropy of labels in [0, n_classes), integers of any dtype or whole numbers in floats."""
    call = Call(y_true, raw_prediction, sample_weight, n_threads, outputs)
    loss, plane = call.loss, call.planes.get
    label_code = _label_code(call.y)
    try:
        _core.cross_entropy(
            True, call.x, call.code, 1, call.y, label_code, None, None, 0.0, None, call.weight,
            call.weight_code(), 0.0, _SUM, call.threads, loss, 0 if loss is None else _core.FLOATS[loss.dtype], None,
            plane("gradient_out"), plane("hessian_out"), plane("proba_out"), None, _PLAIN, 0.0, 1.0, loss is None,
        )  # fmt: skip
    except _core.LabelError as error:
        raise _label_error(call.y, error.args[0], str(call.x.shape[1])) from None
    return call.finish()


def _label_code(y: np.ndarray) -> int:
    """What the core calls the dtype of labels."""
    code = _core.LABELS.get(y.dtype)
    if code is None:
        raise TypeError(f"y_true must hold whole numbers; got dtype {y.dtype}")
    return code


def _label_error(y: np.ndarray, row: int, bound: str) -> IndexError:
    return IndexError(f"y_true must hold whole numbers in [0, {bound}); got {y[row]} at index {row}")


def binomial(
    y_true: Any, raw_prediction: np.ndarray, sample_weight: Any, n_threads: Any, outputs: dict[str, Any]
) -> tuple[np.ndarray, ...]:
    """Binary cross-entropy of targets in [0, 1]; all arrays have the shape (n_samples,)."""
    call = Call(y_true, raw_prediction, sample_weight, n_threads, outputs)
    loss, plane = call.loss, call.planes.get
    target = _copy.converted(call.y, call.x.dtype, copy=False)[:, None]
    # Losses of elements are stored as they are computed; those of rows in either dtype, which takes longer.
    each = loss[:, None] if loss is not None and loss.dtype == call.x.dtype else None
    rows = loss if each is None else None
    _core.binary_cross_entropy(
        True, call.x, call.code, 1, target, 0.0, None, None, call.weight, call.weight_code(), 0.0, _SUM, 1.0,
        call.threads, rows, 0 if loss is None else _core.FLOATS[loss.dtype], each,
        plane("gradient_out"), plane("hessian_out"), None, loss is None,
    )  # fmt: skip
    return call.finish()

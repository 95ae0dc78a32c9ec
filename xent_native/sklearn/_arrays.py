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
_LABELS = {**_core.INTEGERS, **_core.WHOLE_FLOATS}
_NARROW = {FLOATS[0]: _core.FLOATS[FLOATS[0]], FLOATS[1]: _core.FLOAT64_TO_FLOAT32}  # to float32
_SUM, _PLAIN = _core.REDUCTIONS["sum"], _core.SHAPES["plain"]


def floats(name: str, array: Any) -> np.ndarray:
    """An ndarray of float32 or float64; TypeError for anything else."""
    if not isinstance(array, np.ndarray) or array.dtype not in FLOATS:
        kind = f"dtype {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"{name} must be a NumPy array of float32 or float64; got {kind}")
    return array


def _of_rows(name: str, array: np.ndarray, rows: int) -> np.ndarray:
    """One value for each row, contiguous."""
    if array.shape != (rows,):
        raise ValueError(f"{name} must have shape ({rows},), one value per sample; got {array.shape}")
    return _copy.contiguous(array, array.dtype)


class Call:
    """The arrays of a call, checked, and the outputs in memory that C can walk.

    Parameters
    ----------
    y_true, raw_prediction, sample_weight
        As scikit-learn has them; `raw_prediction` of shape (n_samples, n_columns).
    n_threads : int
        At least 1.
    outputs : ndarray or None
        By name: ``loss_out``, ``gradient_out``, ``hessian_out``, ``proba_out``. The gradient may be the raw predictions
        themselves; nothing else may overlap.
    """

    def __init__(
        self, y_true: Any, raw_prediction: Any, sample_weight: Any, n_threads: Any, **outputs: Any
    ) -> None:
        self.given = floats("raw_prediction", raw_prediction)
        self.threads = runtime.check_threads(n_threads)
        rows = len(self.given)
        self.y = _of_rows("y_true", _problem.as_array("y_true", y_true), rows)
        self.weight = self.loss = None
        if sample_weight is not None:
            self.weight = _of_rows("sample_weight", floats("sample_weight", sample_weight), rows)
        self.pending: list[tuple[np.ndarray, np.ndarray]] = []
        wanted = {name: out for name, out in outputs.items() if out is not None}
        self._check(wanted)
        self.loss = wanted.pop("loss_out", None)
        self.planes = {name: self._native(out) for name, out in wanted.items()}
        self._choose_dtype()

    def _check(self, wanted: dict[str, Any]) -> None:
        inputs = {"y_true": self.y, "raw_prediction": self.given, "sample_weight": self.weight}
        for name, out in wanted.items():
            shape = self.given.shape[:1] if name == "loss_out" else self.given.shape
            _problem.output(name, out, shape, FLOATS)
            others = {**inputs, **{key: value for key, value in wanted.items() if key != name}}
            if name == "gradient_out" and out is self.given:
                del others["raw_prediction"]
            _problem.refuse_overlap(name, out, others)

    def _native(self, out: np.ndarray) -> np.ndarray:
        if _problem.passable(out, 1) is out:
            return out
        native = np.empty(out.shape, out.dtype)
        self.pending.append((native, out))
        return native

    def _choose_dtype(self) -> None:
        """`x`, which C reads, and `code`, what it calls the dtypes of this and of the outputs."""
        dtypes = {plane.dtype for plane in self.planes.values()}
        if len(dtypes) > 1:
            raise ValueError(f"{' and '.join(self.planes)} must have the same dtype; got float32 and float64")
        out = dtypes.pop() if dtypes else self.given.dtype
        x = self.given if out != FLOATS[1] else _copy.converted(self.given, FLOATS[1], copy=False)
        self.x = _problem.passable(x, 1)
        self.code = _NARROW[self.x.dtype] if out == FLOATS[0] else _core.FLOATS[FLOATS[1]]

    def finish(self) -> None:
        """Outputs that C could not walk get their values."""
        for native, out in self.pending:
            out[...] = native

    def weight_code(self) -> int:
        """What the core calls the dtype of the weights."""
        return 0 if self.weight is None else _core.FLOATS[self.weight.dtype]


def multinomial(y_true: Any, raw_prediction: Any, sample_weight: Any, n_threads: Any, **outputs: Any) -> None:
    """Softmax cross-entropy of labels in [0, n_classes), integers of any dtype or whole numbers in floats."""
    if np.ndim(raw_prediction) != 2 or np.shape(raw_prediction)[1] == 0:
        raise ValueError(
            f"raw_prediction must have shape (n_samples, n_classes); got {np.shape(raw_prediction)}"
        )
    call = Call(y_true, raw_prediction, sample_weight, n_threads, **outputs)
    loss, plane = call.loss, call.planes.get
    label_code = _LABELS.get(call.y.dtype)
    if label_code is None:
        raise TypeError(f"y_true must hold whole numbers; got dtype {call.y.dtype}")
    try:
        _core.cross_entropy(
            True, call.x, call.code, 1, call.y, label_code, None, None, 0.0, None, call.weight,
            call.weight_code(), 0.0, _SUM, call.threads, loss, 0 if loss is None else _core.FLOATS[loss.dtype], None,
            plane("gradient_out"), plane("hessian_out"), plane("proba_out"), None, _PLAIN, 0.0, 1.0, loss is None,
        )  # fmt: skip
    except _core.LabelError as error:
        row = error.args[0]
        classes = call.x.shape[1]
        raise IndexError(
            f"y_true must hold whole numbers in [0, {classes}); got {call.y[row]} at index {row}"
        ) from None
    call.finish()


def binomial(y_true: Any, raw_prediction: Any, sample_weight: Any, n_threads: Any, **outputs: Any) -> None:
    """Binary cross-entropy of targets in [0, 1]; all arrays have the shape (n_samples,)."""
    if np.ndim(raw_prediction) != 1:
        raise ValueError(f"raw_prediction must have shape (n_samples,); got {np.shape(raw_prediction)}")
    column = floats("raw_prediction", raw_prediction)[:, None]
    planes = {
        name: out[:, None] if name != "loss_out" and isinstance(out, np.ndarray) and out.ndim == 1 else out
        for name, out in outputs.items()
    }
    if outputs.get("gradient_out") is raw_prediction:
        planes["gradient_out"] = column
    call = Call(y_true, column, sample_weight, n_threads, **planes)
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
    call.finish()

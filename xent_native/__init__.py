# SPDX-License-Identifier: BSD-3-Clause
"""Cross-entropy losses and their gradients for NumPy arrays, at the speed of memory.

>>> import xent_native as xn
>>> loss, grad = xn.sparse_categorical_crossentropy_value_and_grad(
...     [1, 0], [[2.0, 5.0, 1.0], [7.0, 1.0, 0.5]], from_logits=True, reduction="mean"
... )
>>> round(loss, 7)
0.0349291
"""

try:
    from . import _core as _core
except ImportError as error:
    if error.name != __name__:  # something that the compiled module needs
        raise
    raise ModuleNotFoundError(
        f"No module named '{__name__}._core': {__path__[0]} holds the sources, without the compiled module. "
        "If the package is installed, start Python in another folder; else install it: pip install -e .",
        name=f"{__name__}._core",
    ) from None

from typing import TYPE_CHECKING, Any

from . import losses, runtime
from .activations import log_softmax, logsumexp, sigmoid, softmax, to_categorical
from .functional import (
    binary_crossentropy,
    binary_crossentropy_grad_and_hess,
    binary_crossentropy_value_and_grad,
    binary_focal_crossentropy,
    binary_focal_crossentropy_value_and_grad,
    categorical_crossentropy,
    categorical_crossentropy_grad_and_hess,
    categorical_crossentropy_value_and_grad,
    categorical_focal_crossentropy,
    categorical_focal_crossentropy_value_and_grad,
    kl_divergence,
    kl_divergence_value_and_grad,
    poly1_crossentropy,
    poly1_crossentropy_value_and_grad,
    sparse_categorical_crossentropy,
    sparse_categorical_crossentropy_grad_and_hess,
    sparse_categorical_crossentropy_value_and_grad,
)
from .losses import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    KLDivergence,
    Poly1Crossentropy,
    SparseCategoricalCrossentropy,
)
from .runtime import get_num_threads, isa, set_isa, set_num_threads, show_config, threads

if TYPE_CHECKING:
    from . import boosting, dask, report, scoring, sklearn, torch
    from .accumulate import LossAccumulator

__version__ = "0.1.0"

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "KLDivergence",
    "LossAccumulator",
    "Poly1Crossentropy",
    "SparseCategoricalCrossentropy",
    "binary_crossentropy",
    "binary_crossentropy_grad_and_hess",
    "binary_crossentropy_value_and_grad",
    "binary_focal_crossentropy",
    "binary_focal_crossentropy_value_and_grad",
    "boosting",
    "categorical_crossentropy",
    "categorical_crossentropy_grad_and_hess",
    "categorical_crossentropy_value_and_grad",
    "categorical_focal_crossentropy",
    "categorical_focal_crossentropy_value_and_grad",
    "dask",
    "get_num_threads",
    "isa",
    "kl_divergence",
    "kl_divergence_value_and_grad",
    "log_softmax",
    "logsumexp",
    "losses",
    "poly1_crossentropy",
    "poly1_crossentropy_value_and_grad",
    "report",
    "scoring",
    "set_isa",
    "set_num_threads",
    "show_config",
    "sigmoid",
    "sklearn",
    "softmax",
    "sparse_categorical_crossentropy",
    "sparse_categorical_crossentropy_grad_and_hess",
    "sparse_categorical_crossentropy_value_and_grad",
    "threads",
    "to_categorical",
    "torch",
]

# What users of other libraries may look for here.
_ELSEWHERE = {
    "BCEWithLogitsLoss": "torch",
    "CrossEntropyLoss": "torch",
    "SoftmaxRegression": "sklearn",
    "binary_cross_entropy_with_logits": "torch",
    "cross_entropy": "torch",
    "log_loss": "sklearn",
    "patch_sklearn": "sklearn",
    "score": "scoring",
    "write_html": "report",
}


def __getattr__(name: str) -> Any:
    """What the losses need not, when it is first asked for: to load all of it takes longer than to load the losses."""
    # Not `from . import`, which would ask here for the name.
    if name == "LossAccumulator":
        from .accumulate import LossAccumulator as _LossAccumulator

        globals()[name] = _LossAccumulator
    elif name == "boosting":
        import xent_native.boosting
    elif name == "dask":
        import xent_native.dask
    elif name == "report":
        import xent_native.report
    elif name == "scoring":
        import xent_native.scoring
    elif name == "sklearn":
        import xent_native.sklearn
    elif name == "torch":
        import xent_native.torch  # noqa: F401  (sets the name, as those above do)
    else:
        home = _ELSEWHERE.get(name)
        hint = f": it is in {__name__}.{home}" if home else ""
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


runtime.read_environment()

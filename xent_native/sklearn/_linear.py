# SPDX-License-Identifier: BSD-3-Clause
"""Loss and gradient of a linear model in one visit of its data, in blocks of rows that stay in the cache.

A block's logits are a product of BLAS, the kernel puts their gradient in their place, and a second product takes it to
the coefficients. So no array of the size (samples, classes) is ever made, and X is read from memory once. Blocks belong
to slices, each with sums of its own, and threads share the slices: which rows are summed in which order depends on the
shape of X alone, and so do the last bits.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from threadpoolctl import ThreadpoolController

from .. import _core

BLOCK_BYTES = 1 << 20  # of logits and rows of X: what the cache of a core holds
LEAST_ROWS = 64
SLICES = 16  # sums of their own: fewer numbers than L-BFGS keeps
SHARED_WORK = 1 << 20  # multiplications of a product; below, threads cost more than they save
FEW_CLASSES = 32  # up to here products are faster with the samples last
SUM = _core.REDUCTIONS["sum"]
PLAIN = _core.SHAPES["plain"]

Sums = tuple[float, np.ndarray, np.ndarray]


@functools.cache
def _blas() -> ThreadpoolController:
    """The BLAS libraries of this process, looked for once."""
    return ThreadpoolController()


class _BlasLimit:
    """How many threads BLAS has, while it is used from some threads at once.

    The number belongs to the process, or, where BLAS runs on OpenMP, to the thread. In the first case the first user
    keeps what it was, and the last one restores it, in whatever order they come and go.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._shared: list[int] = []  # threads of each library before the first user came

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """Inside, BLAS uses the calling thread alone: threads are ours, and results do not depend on their number."""
        libraries = [library for library in _blas().lib_controllers if library.user_api == "blas"]
        own = [getattr(library, "threading_layer", None) == "openmp" for library in libraries]
        with self._lock:
            before = [library.num_threads for library in libraries]
            if self._users == 0:
                self._shared = before
            self._users += 1
            _set_threads(libraries, [1] * len(libraries))
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                shared = [1] * len(libraries) if self._users else self._shared
                after = [
                    mine if is_own else of_all
                    for mine, of_all, is_own in zip(before, shared, own, strict=True)
                ]
                _set_threads(libraries, after)


def _set_threads(libraries: list[Any], counts: list[int]) -> None:
    for library, count in zip(libraries, counts, strict=True):
        library.set_num_threads(count)
    # threadpoolctl lets only the thread that set OpenBLAS last set it again, until that thread leaves a limit.
    with _blas().limit(limits=None):
        pass


one_blas_thread = _BlasLimit().one_thread


@dataclass(frozen=True)
class Block:
    """Some samples: `x` a view of the rows of X, `y` class indices or, for two classes, targets of shape (1, rows)."""

    x: Any
    y: np.ndarray
    weight: np.ndarray | None


@dataclass(frozen=True)
class Room:
    """What a thread needs for a block; as many rows as the largest has."""

    logits: np.ndarray
    product: np.ndarray


class LinearLoss:
    r"""The sum of the losses of a linear model, for any coefficients.

    With logits :math:`z_i = W x_i + b` and weights :math:`w_i`:

    .. math:: L(W, b) = \sum_i w_i \, \ell(z_i, y_i)

    Where there are two classes, W has one row: the logit of the second class, that of the first being 0.

    Parameters
    ----------
    X : ndarray in C order, or csr, of shape (n_samples, n_features)
        float32 or float64. Products are in its dtype, sums over blocks in float64.
    codes : ndarray of shape (n_samples,)
        Class indices.
    weight : ndarray of shape (n_samples,) or None
        float64.
    classes : int
        At least 2.
    smoothing : float
        In [0, 1].
    threads : int
        At least 1. Results do not depend on it.
    """

    def __init__(
        self,
        X: Any,
        codes: np.ndarray,
        weight: np.ndarray | None,
        classes: int,
        smoothing: float,
        threads: int,
    ) -> None:
        self.rows, self.features = X.shape
        self.outputs = 1 if classes == 2 else classes
        self.dtype = X.dtype
        self.code = _core.FLOATS[X.dtype]
        self.smoothing = smoothing
        self.is_sparse = sparse.issparse(X)
        self.samples_last = self.outputs <= FEW_CLASSES and not self.is_sparse
        self.weight_sum = float(self.rows if weight is None else weight.sum())
        target = codes if self.outputs > 1 else codes.astype(self.dtype)
        blocks = self._cut(X, target, weight)
        count = min(SLICES, len(blocks))
        ends = [i * len(blocks) // count for i in range(count + 1)]
        self.slices = [blocks[a:b] for a, b in itertools.pairwise(ends)]
        work = (X.nnz if self.is_sparse else X.size) * self.outputs
        self.threads = min(threads, count) if work >= SHARED_WORK else 1
        self._rooms: deque[Room] = deque()
        self._pool: ThreadPoolExecutor | None = None

    def _cut(self, X: Any, target: np.ndarray, weight: np.ndarray | None) -> list[Block]:
        width = self.outputs + (0 if self.is_sparse else self.features)
        step = max(LEAST_ROWS, BLOCK_BYTES // (width * self.dtype.itemsize) // LEAST_ROWS * LEAST_ROWS)
        self.most_rows = min(step, self.rows)
        blocks = []
        for start in range(0, self.rows, step):
            part = slice(start, start + step)
            x = _csr_rows(X, start, min(start + step, self.rows)) if self.is_sparse else X[part]
            y = target[part]
            if self.outputs == 1:
                y = y[None, :] if self.samples_last else y[:, None]
            blocks.append(Block(x, y, None if weight is None else weight[part]))
        return blocks

    def __enter__(self) -> LinearLoss:
        if self.threads > 1:
            self._pool = ThreadPoolExecutor(self.threads - 1)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def value_and_grad(self, W: np.ndarray, b: np.ndarray) -> Sums:
        """L, and its derivatives with respect to W, of shape (outputs, n_features), and b, of shape (outputs,)."""
        return self._over_slices(functools.partial(self._block_grad, *self._model(W, b)))

    def curvature(self, W: np.ndarray, b: np.ndarray) -> Sums:
        """L, and the diagonal of its Hessian, in the shapes of W and b."""
        return self._over_slices(functools.partial(self._block_hess, *self._model(W, b)))

    def moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weighted mean and variance of each feature, and what rounding may have added to the variance."""
        origin = np.zeros(self.features) if self.is_sparse else self.slices[0][0].x[0].astype(np.float64)
        _, both, _ = self._over_slices(functools.partial(self._block_moments, origin), outputs=2)
        mean, square = both / self.weight_sum
        variance = np.maximum(square - mean**2, 0.0)
        mean += origin
        return mean, variance, 4 * np.finfo(self.dtype).eps * (variance + mean**2)

    def _model(self, W: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients in the dtype of X, as the products take them."""
        W, b = W.astype(self.dtype, copy=False), b.astype(self.dtype, copy=False)
        return (W, b[:, None]) if self.samples_last else (np.ascontiguousarray(W.T), b)

    def _logits(self, W: np.ndarray, b: np.ndarray, block: Block, room: Room) -> np.ndarray:
        rows = block.x.shape[0]
        if self.is_sparse:
            z = block.x @ W
        elif self.samples_last:
            z = np.matmul(W, block.x.T, out=room.logits[: rows * self.outputs].reshape(self.outputs, rows))
        else:
            z = np.matmul(block.x, W, out=room.logits[: rows * self.outputs].reshape(rows, self.outputs))
        z += b
        return np.asarray(z)

    def _solve(self, block: Block, z: np.ndarray, grad: np.ndarray | None, hess: np.ndarray | None) -> float:
        """The kernel: the loss of a block, and the planes that are asked for; `grad` may be z itself."""
        axis = 0 if self.samples_last else 1
        weight_code = _core.FLOATS[np.dtype(np.float64)]
        if self.outputs == 1:
            return _core.binary_cross_entropy(
                True, z, self.code, axis, block.y, self.smoothing, None, None, block.weight, weight_code, 0.0, SUM, 1.0,
                1, None, self.code, None, grad, hess, None,
            )  # fmt: skip
        return _core.cross_entropy(
            True, z, self.code, axis, block.y, _core.INTEGERS[block.y.dtype], None, None, self.smoothing, None,
            block.weight, weight_code, 0.0, SUM, 1, None, self.code, None, grad, hess, None, None, PLAIN, 0.0, 1.0,
        )  # fmt: skip

    def _block_grad(self, W: np.ndarray, b: np.ndarray, block: Block, room: Room, sums: list[Any]) -> None:
        z = self._logits(W, b, block, room)
        sums[0] += self._solve(block, z, z, None)
        self._add(z, block.x, room, sums)

    def _block_hess(self, W: np.ndarray, b: np.ndarray, block: Block, room: Room, sums: list[Any]) -> None:
        z = self._logits(W, b, block, room)
        sums[0] += self._solve(block, z, None, hess := np.empty_like(z))
        self._add(hess, block.x.multiply(block.x).tocsr() if self.is_sparse else block.x**2, room, sums)

    def _add(self, plane: np.ndarray, x: Any, room: Room, sums: list[Any]) -> None:
        """Adds the products of one value for each logit with the features, and their sums."""
        if self.is_sparse:
            sums[1] += (x.T @ plane).T
        else:
            sums[1] += np.matmul(plane if self.samples_last else plane.T, x, out=room.product)
        sums[2] += plane.sum(axis=1 if self.samples_last else 0, dtype=np.float64)

    def _block_moments(self, origin: np.ndarray, block: Block, room: Room, sums: list[Any]) -> None:
        weight = np.ones(block.x.shape[0]) if block.weight is None else block.weight
        x = block.x.astype(np.float64) if self.is_sparse else block.x - origin
        sums[1][0] += x.T @ weight
        sums[1][1] += (x.multiply(x) if self.is_sparse else np.square(x, out=x)).T @ weight

    def _over_slices(self, work: Callable[[Block, Room, list[Any]], None], outputs: int = 0) -> Sums:
        """Calls work(block, room, sums) for all blocks; the sums of all slices, in their order."""
        found: list[list[Any]] = [[]] * len(self.slices)
        left = deque(range(len(self.slices)))

        def take() -> None:
            room = self._rooms.pop() if self._rooms else self._new_room()
            while left:
                try:
                    index = left.popleft()
                except IndexError:  # another thread was faster
                    break
                shape = (outputs or self.outputs, self.features)
                found[index] = sums = [0.0, np.zeros(shape), np.zeros(shape[0])]
                for block in self.slices[index]:
                    work(block, room, sums)
            self._rooms.append(room)

        pool = self._pool
        others = [pool.submit(take) for _ in range(self.threads - 1)] if pool is not None else []
        take()
        for other in others:
            other.result()
        total = found[0]
        for sums in found[1:]:
            total = [a + b for a, b in zip(total, sums, strict=True)]
        return total[0], total[1], total[2]

    def _new_room(self) -> Room:
        logits = np.empty(0 if self.is_sparse else self.most_rows * self.outputs, self.dtype)
        return Room(logits, np.empty((self.outputs, self.features), self.dtype))


def _csr_rows(X: Any, start: int, stop: int) -> Any:
    """Some rows of a csr array, as a view of its memory."""
    first, last = X.indptr[start], X.indptr[stop]
    part = (X.data[first:last], X.indices[first:last], X.indptr[start : stop + 1] - first)
    return type(X)(part, shape=(stop - start, X.shape[1]), copy=False)

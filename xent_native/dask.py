# SPDX-License-Identifier: BSD-3-Clause
"""Scoring on Dask: arrays, dataframes and files of predictions on threads, on processes or on a cluster.

One task a partition makes a :class:`xent_native.LossAccumulator`; a tree of tasks merges them, eight at a time. What
travels is their states, of one size for any number of rows, never predictions. Sums are exact: the result has the bits
that a single machine gives, whatever the partitions, the workers and the order in which they finish. A worker that is
lost costs time alone, as Dask computes its tasks once more.

Tasks use one thread each unless `n_threads` says otherwise: Dask keeps all cores busy with tasks, and OpenMP's threads
on top of them would only take turns.

Dask is imported when it is used: ``pip install 'xent-native[dask]'``.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from . import _dask_parts
from .accumulate import LossAccumulator, Score

__all__ = ["accumulate", "score"]

_FAN_IN = 8  # states that one task merges: about 10 MB, and few levels even for very many partitions


def score(
    predictions: Any,
    labels: Any,
    weights: Any = None,
    *,
    group_by: Any = None,
    columns: Any = None,
    classes: Sequence[str] | None = None,
    from_logits: bool = False,
    ignore_class: int | None = None,
    top_k: Sequence[int] = (5,),
    bins: int = 15,
    worst: int = 10,
    max_confusion: int = 100,
    classwise: bool = False,
    n_threads: int = 1,
    scheduler: Any = None,
) -> Score:
    """Score predictions in a Dask collection, or in files, against labels.

    Parameters
    ----------
    predictions : dask.array.Array of shape (N, C), dask.dataframe.DataFrame, str, path or list of these
        Probabilities (each row is divided by its sum) or logits. Chunks of an array along its classes are put together
        first. A string or path names a Parquet, Arrow or CSV file, a folder of them, or a pattern such as
        ``part-*.parquet``; every worker must find it under that name. Parquet is one task a row group, others are one
        task a file.
    labels : dask.array.Array or array_like of int, shape (N,); or str
        Class indices in [0, C), in any chunks. For dataframes and files the name of their column, which may also hold
        names of classes.
    weights : dask.array.Array or array_like of shape (N,), or str, optional
        Finite and not negative; or the name of their column.
    group_by : dask.array.Array or array_like of shape (N,), or str, optional
        Values (str, int or bool) whose rows are scored apart, too: `Score.groups`; or the name of their column.
    columns : str or sequence of str, optional
        For dataframes and files, the column of the predictions (lists), or their columns in the order of the classes;
        ``*`` stands for any letters. By default the one column of lists, or else all columns of floats that have no
        other role.
    classes : sequence of str, optional
        For dataframes and files, the names of the classes, if labels are names. By default those of the columns,
        without what a pattern has around its ``*``.
    from_logits, ignore_class, top_k, bins, worst, max_confusion, classwise
        As in :class:`xent_native.LossAccumulator`.
    n_threads : int, default 1
        OpenMP threads of each task. Give more only to workers that run fewer tasks at a time than they have cores. The
        result does not depend on it.
    scheduler : str or callable, optional
        As in :func:`dask.compute`: "threads", "processes" or "synchronous"; by default the one that is set up, such as
        that of a ``distributed.Client``.

    Returns
    -------
    Score
        With the same bits as :func:`xent_native.scoring.score` of the same rows.

    Raises
    ------
    DataError, DataTypeError, LabelError
        As in :func:`xent_native.scoring.score`; the message says where.
    TypeError
        If `predictions` are neither a Dask collection nor a path.
    ModuleNotFoundError
        Without Dask; for dataframes and files without pyarrow.

    Notes
    -----
    `Score.worst` numbers rows from the start of the array if the lengths of its chunks are known, and of each file,
    whose name is the `source`. In dataframes, and in arrays with chunks of unknown length, the `source` is
    ``"partition 3"`` and `row` counts within it.

    Dask makes strings of a dataframe's lists unless pandas has them as Arrow's (``pd.ArrowDtype``).

    Examples
    --------
    >>> import dask.array as da
    >>> from xent_native.dask import score
    >>> p = da.from_array([[0.1, 0.8, 0.1], [0.3, 0.4, 0.3]], chunks=(1, 2))
    >>> result = score(p, da.from_array([1, 2], chunks=2), scheduler="synchronous")
    >>> result.rows, round(result.mean_loss, 5), result.accuracy
    (2, 0.71356, 0.5)
    """
    total = accumulate(
        predictions,
        labels,
        weights,
        group_by=group_by,
        columns=columns,
        classes=classes,
        from_logits=from_logits,
        ignore_class=ignore_class,
        top_k=top_k,
        bins=bins,
        worst=worst,
        max_confusion=max_confusion,
        classwise=classwise,
        n_threads=n_threads,
    )
    result: LossAccumulator = total.compute(scheduler=scheduler)
    return result.result()


def accumulate(
    predictions: Any,
    labels: Any,
    weights: Any = None,
    *,
    group_by: Any = None,
    columns: Any = None,
    classes: Sequence[str] | None = None,
    n_threads: int = 1,
    **options: Any,
) -> Any:
    """Like :func:`score`, but lazy: the accumulator that has seen all rows, as a value that is yet to be computed.

    Parameters
    ----------
    predictions, labels, weights, group_by, columns, classes, n_threads
        As in :func:`score`.
    **options
        As in :class:`xent_native.LossAccumulator`.

    Returns
    -------
    dask.delayed.Delayed
        Of a LossAccumulator: to be computed with others, or to be merged with what other machines saw.

    Examples
    --------
    >>> import dask.array as da
    >>> from xent_native.dask import accumulate
    >>> p = da.from_array([[0.1, 0.8, 0.1], [0.3, 0.4, 0.3]], chunks=(1, 3))
    >>> accumulate(p, [1, 2]).compute(scheduler="synchronous")
    <LossAccumulator: 2 rows of 3 classes>
    """
    options["n_threads"] = n_threads
    LossAccumulator(**options)  # whose errors come now, not from a worker
    roles = {"labels": labels, "weights": weights, "groups": group_by}
    parts = _dask_parts.found(predictions, roles, columns, classes, options)
    return _tree(parts)


def _tree(parts: _dask_parts.Parts) -> Any:
    """One accumulator of all, merged level by level: no task waits for all others but the last.

    The graph is written down as it is, as :func:`dask.delayed` takes time that grows with the square of the tasks.
    """
    from dask.delayed import Delayed
    from dask.highlevelgraph import HighLevelGraph
    from dask.utils import ensure_dict

    token = uuid.uuid4().hex
    graph: dict[Any, Any] = {(f"score-rows-{token}", i): task for i, task in enumerate(parts.tasks)}
    keys, level = list(graph), 0
    while len(keys) > 1:
        level += 1
        groups = [keys[i : i + _FAN_IN] for i in range(0, len(keys), _FAN_IN)]
        keys = [(f"merge-scores-{token}", level, i) for i in range(len(groups))]
        graph.update((key, (_merged, group)) for key, group in zip(keys, groups, strict=True))
    name = f"scores-{token}"
    graph[name] = (_merged, keys)
    layers = {f"blocks-{token}": ensure_dict(parts.blocks), name: graph}
    return Delayed(name, HighLevelGraph(layers, {name: {f"blocks-{token}"}, f"blocks-{token}": set()}))


def _merged(parts: Sequence[LossAccumulator]) -> LossAccumulator:
    """A new accumulator: those given stay what they are, as Dask may hand them out once more."""
    total = parts[0].copy()
    for part in parts[1:]:
        total.merge(part)
    return total

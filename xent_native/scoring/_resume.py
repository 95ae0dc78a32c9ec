# SPDX-License-Identifier: BSD-3-Clause
"""States of scores in files: to go on where a run stopped, and to fold what several machines made."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
import time
from collections.abc import Sequence
from typing import Any

from .. import _files, _options
from ..accumulate import LossAccumulator, Score
from ._errors import StateError
from ._streams import Identity

__all__ = ["State", "merge"]

_FORMAT, _VERSION = "xent_native.scoring.state", 1
_SHARED = ("columns", "classes", "group_column")  # options that states to be merged have in common
_SECONDS = 10.0  # between two writes of a state


class State:
    """The file of a run's state.

    Parameters
    ----------
    path : str or os.PathLike
        Where it is, or will be.
    files : list of Identity
        What is scored.
    options : dict
        What the result depends on, as JSON.
    """

    def __init__(
        self, path: str | os.PathLike[str], files: Sequence[Identity], options: dict[str, Any]
    ) -> None:
        self.path = os.fsdecode(path)
        self._files = [dataclasses.asdict(one) for one in files]
        self._options = json.loads(json.dumps(options))
        self._written = time.monotonic()

    def load(self) -> tuple[LossAccumulator, int, bool] | None:
        """What an earlier run left: its accumulator, how many rows it has, and whether these are all."""
        try:
            state = _read(self.path, _load(self.path))
        except FileNotFoundError:
            return None
        _check_options(self.path, state["options"], self._options)
        _check_files(self.path, state["files"], self._files)
        return _accumulator(self.path, state["accumulator"]), state["rows"], state["complete"]

    @property
    def is_due(self) -> bool:
        """Whether it was written, or read, some seconds ago."""
        return time.monotonic() - self._written >= _SECONDS

    def write(self, accumulator: LossAccumulator, rows: int, *, complete: bool = False) -> None:
        """Write the state now."""
        _files.write_text(self.path, _text(self._files, self._options, accumulator, rows, complete))
        self._written = time.monotonic()


def _text(
    files: list[dict[str, Any]],
    options: dict[str, Any],
    accumulator: LossAccumulator,
    rows: int,
    complete: bool,
) -> str:
    state = {
        "format": _FORMAT,
        "version": _VERSION,
        "files": files,
        "options": options,
        "rows": rows,
        "complete": complete,
        "accumulator": accumulator.to_dict(),
    }
    return json.dumps(state, allow_nan=False) + "\n"


def _load(path: str) -> Any:
    """What JSON is in a regular file: devices and pipes may never end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise StateError(f"{path}: no regular file")
    with open(path, encoding="utf-8") as file:
        try:
            return json.load(file)
        except (ValueError, RecursionError) as error:
            raise StateError(f"{path}: no state of a score: {error}") from None


def _read(path: str, state: Any) -> dict[str, Any]:
    """A state whose parts have the right types; what is in the accumulator is its own matter."""
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise StateError(f"{path}: no state of a score")
    if state.get("version") != _VERSION:
        version = _options.shown(state.get("version"))
        raise StateError(f"{path}: a state of version {version}; this release reads {_VERSION}")
    kinds = {"files": list, "options": dict, "rows": int, "complete": bool, "accumulator": dict}
    for key, kind in kinds.items():
        if type(state.get(key)) is not kind:
            raise StateError(f"{path}: damaged: {key!r} is no {kind.__name__}")
    if state["rows"] < 0:
        raise StateError(f"{path}: damaged: 'rows' is {state['rows']}")
    kinds = {"str": str, "int": int, "bool": bool}
    fields = {one.name: kinds[str(one.type)] for one in dataclasses.fields(Identity)}
    for one in state["files"]:
        if not isinstance(one, dict) or {key: type(value) for key, value in one.items()} != fields:
            raise StateError(f"{path}: damaged: what it says of its files")
    return state


def _accumulator(path: str, values: dict[str, Any]) -> LossAccumulator:
    try:
        return LossAccumulator.from_dict(values)
    except ValueError as error:
        raise StateError(f"{path}: damaged: {error}") from None


def _check_options(path: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    for name in new:
        if name not in old or old[name] != new[name]:
            raise StateError(
                f"{path}: was made with {name}={_options.shown(old.get(name))}; now it is {_options.shown(new[name])}. "
                "Take the same options, or another file for the state"
            )


def _check_files(path: str, old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
    if len(old) != len(new):
        raise StateError(f"{path}: was made of {len(old)} files or arrays; now there are {len(new)}")
    for was, now in zip(old, new, strict=True):
        for key in ("size", "mtime_ns", "header"):
            if was[key] != now[key]:
                words = {"size": "bytes", "mtime_ns": "time of change", "header": "first bytes"}[key]
                raise StateError(
                    f"{path}: was made of another {now['name']}: its {words}: {was[key]}, now {now[key]}"
                )


def merge(
    paths: Sequence[str | os.PathLike[str]],
    *,
    state: str | os.PathLike[str] | None = None,
    partial: bool = False,
) -> Score:
    """Fold states that were made of different files, on this machine or others.

    Parameters
    ----------
    paths : sequence of str or path
        What ``score(..., state=)``, ``xent-native score --state`` or `merge` wrote; or a
        :meth:`xent_native.LossAccumulator.to_dict` as JSON.
    state : str or path, optional
        Where to write the state of them all.
    partial : bool, default False
        Whether states of runs that have not come to their end will do.

    Returns
    -------
    Score
        The same bits as of one run over all rows, in whatever order the states come.

    Raises
    ------
    StateError
        If a file is no state, was made with other options, has not come to its end, or if two states hold rows
        of the same predictions, which would count twice.
    OSError
        If a file cannot be read or written.

    Examples
    --------
    >>> import json, os, tempfile
    >>> from xent_native import scoring
    >>> folder = tempfile.mkdtemp()
    >>> names = [os.path.join(folder, f"{k}.json") for k in range(2)]
    >>> for k, name in enumerate(names):
    ...     _ = scoring.score([[0.1, 0.9], [0.3 + k / 10, 0.7 - k / 10]], [1, 0], state=name)
    >>> scoring.merge(names).rows
    4
    """
    names = [os.fsdecode(path) for path in paths]
    if not names:
        raise StateError("merge needs at least one state")
    total: LossAccumulator | None = None
    files: list[dict[str, Any]] = []
    options: dict[str, Any] = {}
    rows = 0
    for name in names:
        one = _mergeable(name)
        if not one["complete"] and not partial:
            raise StateError(
                f"{name}: stopped after {one['rows']} rows: run it to its end, or take it as it is "
                "(partial=True, --partial)"
            )
        _refuse_twice(name, one["files"], files)
        accumulator = _accumulator(name, one["accumulator"])
        try:
            total = accumulator if total is None else total.merge(accumulator)
        except ValueError as error:
            raise StateError(f"{name}: does not go with {names[0]}: {error}") from None
        files += one["files"]
        shared = {key: value for key, value in one["options"].items() if key in _SHARED}
        if options and shared:
            _check_options(name, shared, {key: value for key, value in options.items() if key in _SHARED})
        options, rows = options or one["options"], rows + one["rows"]
    assert total is not None
    if state is not None:
        _files.write_text(state, _text(files, options, total, rows, True))
    return total.result()


def _mergeable(path: str) -> dict[str, Any]:
    """A state, or an accumulator alone."""
    found = _load(path)
    if isinstance(found, dict) and found.get("format") == "xent_native.LossAccumulator":
        return {"files": [], "options": {}, "rows": 0, "complete": True, "accumulator": found}
    return _read(path, found)


def _refuse_twice(path: str, new: list[dict[str, Any]], old: list[dict[str, Any]]) -> None:
    """Labels may be the same for several states, predictions not, by whatever name."""
    same = ("size", "mtime_ns", "header")
    seen = [[one[key] for key in same] for one in old if one["predictions"]]
    for one in new:
        if one["predictions"] and [one[key] for key in same] in seen:
            raise StateError(f"{path}: holds rows of {one['name']}, which another state holds, too")

# SPDX-License-Identifier: BSD-3-Clause
"""The same predictions in every format that scoring reads, and what is compared of their scores."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from xent_native import scoring

NAMES = ("ant", "bee", "cat", "dog")
ROLES = {"label_column": "y", "weight_column": "w", "group_by": "g"}


def figures(score: scoring.Score) -> scoring.Score:
    """All but the names of the files that the worst rows come from."""
    return dataclasses.replace(
        score,
        worst=tuple(dataclasses.replace(row, source="") for row in score.worst),
        groups={key: figures(one) for key, one in score.groups.items()},
    )


@dataclasses.dataclass(frozen=True)
class Data:
    """Predictions and what goes with them."""

    x: np.ndarray
    y: np.ndarray
    w: np.ndarray
    g: list[Any]

    @classmethod
    def random(cls, rows: int) -> Data:
        rng = np.random.default_rng(rows)
        x = rng.dirichlet(np.ones(len(NAMES)), rows)
        groups = np.array(["north", "south", "\u00e9"], object)[rng.integers(0, 3, rows)].tolist()
        return cls(x, rng.integers(0, len(NAMES), rows), rng.random(rows), groups)

    def score(self, **options: Any) -> scoring.Score:
        """Of the arrays."""
        return figures(scoring.score(self.x, self.y, weights=self.w, group_by=self.g, **options))

    def lists(self, kind: str = "fixed") -> Any:
        """A table with a column of lists, and labels as indices."""
        import pyarrow as pa

        p = pa.FixedSizeListArray.from_arrays(pa.array(self.x.ravel()), len(NAMES))
        if kind != "fixed":
            p = p.cast({"list": pa.list_, "large": pa.large_list}[kind](pa.float64()))
        return pa.table({"id": np.arange(len(self.y)), "p": p, "y": self.y, "w": self.w, "g": self.g})

    def wide(self, *, encoded: bool = False) -> Any:
        """A table with one column a class, and labels as names."""
        import pyarrow as pa

        labels = pa.array(np.array(NAMES)[self.y])
        columns = {f"p_{name}": self.x[:, k] for k, name in enumerate(NAMES)}
        return pa.table(
            {**columns, "y": labels.dictionary_encode() if encoded else labels, "w": self.w, "g": self.g}
        )


def write(table: Any, path: Path, **options: Any) -> Path:
    """A table in the format that the name of the file says."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    if path.suffix == ".parquet":
        parquet.write_table(table, path, **options)
    elif path.suffix == ".csv":
        csv.write_csv(table, path)
    else:
        rows = options.pop("rows", None)
        settings = pa.ipc.IpcWriteOptions(**options)
        with (
            pa.OSFile(str(path), "wb") as sink,
            pa.ipc.new_file(sink, table.schema, options=settings) as file,
        ):
            file.write_table(table, max_chunksize=rows)
    return path

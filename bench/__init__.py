# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark of xent_native: ``python -m bench`` from the root of the repository, ``--help`` for the rest.

From the command line (:mod:`bench.cli`, :mod:`bench.options`) a run (:mod:`bench.runs`) makes a result. There
is one engine: entrants, each a competitor (:mod:`bench.peers`) with a case (:mod:`bench.cases`, its
:mod:`bench.arrays`, its :mod:`bench.answers`), have a contest (:mod:`bench.contest`), in which they are timed in
turn (:mod:`bench.timing`) beside the bandwidth of memory (:mod:`bench.roofline`). ``--limits`` is made of such
contests (:mod:`bench.limits`), as the plain tables are. A result is JSON (:mod:`bench.result`); whatever people
read is made from it (:mod:`bench.report`, :mod:`bench.documents`).
"""

import sys
from pathlib import Path

# `python -m bench` and its like put the root of the repository first, where the sources of xent_native, which have no
# compiled module, would hide the installed package: it goes last.
root = str(Path(__file__).parents[1])
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(root)] + [root]


class UsageError(ValueError):
    """What the person at the command line can mend: shown without a traceback."""

# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark of xent_native: ``python -m bench`` from the root of the repository, ``--help`` for the rest.

Cases are data (:mod:`bench.cases`), the competitors stand behind one signature (:mod:`bench.peers`), one
runner (:mod:`bench.runner`) times them in turn, beside the bandwidth of memory (:mod:`bench.roofline`). A
result is JSON (:mod:`bench.result`); all tables are made from it (:mod:`bench.report`, :mod:`bench.readme`).
"""


class UsageError(ValueError):
    """What the person at the command line can mend: shown without a traceback."""

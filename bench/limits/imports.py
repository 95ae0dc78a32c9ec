# SPDX-License-Identifier: BSD-3-Clause
"""The time of `import xent_native` beside that of NumPy, each time in a new process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from ..timing import quartiles
from . import targets
from .line import Line, line_of
from .session import Session

# An editable install may look at every import whether something has to be built anew; that is not the package's time.
PROBE = """\
import json, sys, time
editable = [finder for finder in sys.meta_path if hasattr(finder, "rebuild_flag")]
for finder in editable:
    finder.rebuild_flag = False
start = time.perf_counter()
import numpy
between = time.perf_counter()
import xent_native
end = time.perf_counter()
print(json.dumps({"numpy": between - start, "ours": end - between, "editable": bool(editable)}))
"""


def imports(session: Session) -> Iterator[Line]:
    """`import xent_native` after `import numpy`, in processes of their own."""
    runs: list[dict[str, Any]] = []
    reason = ""
    for number in range(session.plan.repeats + 1):
        session.say(f"import: {number} of {session.plan.repeats}")
        time.sleep(session.plan.pause)
        # -P: the folder that this runs in, which may be that of the sources, must not come first.
        done = subprocess.run(
            [sys.executable, "-P", "-c", PROBE], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["failed"])[-1]
            break
        runs.append(json.loads(done.stdout))
    runs = runs[1:]  # the first may have read from disk, and compiled
    if runs and not reason:
        reason = f"NumPy itself {quartiles([run['numpy'] for run in runs])[1] * 1e3:.0f} ms"
        reason += "; an editable install" if runs[0]["editable"] else ""
    samples = [run["ours"] * 1e3 for run in runs]
    yield line_of("Import", "import xent_native, after NumPy", "ms", targets.IMPORT, samples, at_least=False,
                  remark=reason)  # fmt: skip

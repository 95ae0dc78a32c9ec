# SPDX-License-Identifier: BSD-3-Clause
"""Results that people like to read: a page of HTML in one file, and the same charts in matplotlib.

:func:`write_html` needs nothing but Python. The functions that plot need matplotlib: ``pip install
'xent-native[plot]'``.

>>> import io
>>> from xent_native import LossAccumulator, report
>>> acc = LossAccumulator()
>>> acc.update([1, 1], [[0.1, 0.9], [0.7, 0.3]])
>>> page = io.StringIO()
>>> report.write_html(acc, page, title="Two rows")
>>> page.getvalue().count("<section")
6
"""

from __future__ import annotations

from ._page import write_html
from ._plots import plot_classes, plot_confusion, plot_groups, plot_losses, plot_reliability

__all__ = ["plot_classes", "plot_confusion", "plot_groups", "plot_losses", "plot_reliability", "write_html"]

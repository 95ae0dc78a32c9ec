# SPDX-License-Identifier: BSD-3-Clause
"""The modules for users of NumPy without PyTorch."""

from __future__ import annotations

from ._modules import Callable, CrossEntropyModule


class CrossEntropyLoss(CrossEntropyModule, Callable):
    __doc__ = CrossEntropyModule.__doc__

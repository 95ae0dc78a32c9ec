# SPDX-License-Identifier: BSD-3-Clause
"""All competitors, by name, in the order of the tables. A new one is a subclass of Peer, and a line here."""

from .base import Peer, Settings, Unsupported
from .frameworks import Optax, Torch, TorchCompile
from .numeric import Numba, NumPy, ScikitLearn, SciPy
from .ours import XentNative, XentNativeClass, XentNativeNewArray

__all__ = ["PEERS", "Peer", "Settings", "Unsupported"]

PEERS: dict[str, type[Peer]] = {
    peer.name: peer
    for peer in (
        XentNative, XentNativeNewArray, XentNativeClass,
        Torch, TorchCompile, Optax, ScikitLearn, Numba, NumPy, SciPy,
    )
}  # fmt: skip

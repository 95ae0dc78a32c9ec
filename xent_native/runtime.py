# SPDX-License-Identifier: BSD-3-Clause
"""Threads and instruction sets: what is in use, and how to change it."""

from __future__ import annotations

import contextlib
import contextvars
import os
import platform
import sys
from collections.abc import Iterator

import numpy as np

from . import _core, _options

__all__ = ["get_num_threads", "isa", "set_isa", "set_num_threads", "show_config", "threads"]

_MOST = 1 << 16  # the C core clamps further, to what the machine can use

# Threads for every call that does not say: 0 leaves it to OpenMP and the cgroup's quota.
_process_threads = 0
_context_threads: contextvars.ContextVar[int] = contextvars.ContextVar("xent_native_threads", default=0)


def check_threads(n: object, name: str = "n_threads") -> int:
    """A number of threads as an int of at least 1; ValueError otherwise."""
    try:
        return min(_options.count(name, n), _MOST)
    except TypeError as error:
        raise ValueError(str(error)) from None


def resolve_threads(n_threads: object) -> int:
    """The argument of a call, else the context's or the process's setting, else 0."""
    if n_threads is None:
        return _context_threads.get() or _process_threads
    return check_threads(n_threads)


def set_num_threads(n: int | None) -> None:
    """Set how many threads every call uses that does not say so itself.

    Parameters
    ----------
    n : int or None
        At least 1. None goes back to the default: as many as OpenMP would use
        (``OMP_NUM_THREADS``, threadpoolctl), no more than the cgroup's CPU quota allowed when the
        package was imported.

    Raises
    ------
    ValueError
        If `n` is not an integer of at least 1.

    Notes
    -----
    An argument ``n_threads=`` goes first, then :func:`threads`, then this setting, then the
    environment variable ``XENT_NATIVE_NUM_THREADS``. Results never depend on it. A call of less than
    about 40,000 elements runs on one thread whatever the setting, and so does every call in a forked
    process. threadpoolctl's limits hold for the thread that sets them; this setting holds for all. Where
    the system refuses threads (``RLIMIT_NPROC``, ``pids.max``, no memory), a call runs on those that it got.

    Examples
    --------
    >>> import xent_native as xn
    >>> xn.set_num_threads(1)
    >>> xn.get_num_threads()
    1
    >>> xn.set_num_threads(None)
    """
    global _process_threads
    _process_threads = 0 if n is None else check_threads(n, "n")


def get_num_threads() -> int:
    """Threads that a large call made here and now would use.

    At most the number of CPUs, or 8 if there are fewer, whatever was asked for; 1 in a forked process.

    Examples
    --------
    >>> import xent_native as xn
    >>> xn.get_num_threads() >= 1
    True
    """
    return int(_core.threads(resolve_threads(None)))


@contextlib.contextmanager
def threads(n: int) -> Iterator[None]:
    """Use `n` threads inside a ``with`` block.

    The setting belongs to the block's own context: other threads and tasks do not see it.

    Parameters
    ----------
    n : int
        At least 1.

    Raises
    ------
    ValueError
        If `n` is not an integer of at least 1.

    Examples
    --------
    >>> import xent_native as xn
    >>> with xn.threads(1):
    ...     xn.get_num_threads()
    1
    """
    token = _context_threads.set(check_threads(n, "n"))
    try:
        yield
    finally:
        _context_threads.reset(token)


def isa() -> str:
    """Name of the instruction set in use: ``"avx512"``, ``"avx2"`` or ``"baseline"``.

    Examples
    --------
    >>> import xent_native as xn
    >>> xn.isa() in ("avx512", "avx2", "baseline")
    True
    """
    return str(_core.isa())


def set_isa(name: str) -> None:
    """Use another instruction set, for tests and comparisons.

    AVX2 and AVX-512 give the same bits; the baseline may differ in the last ones. Not to be called
    while another thread computes. The environment variable ``XENT_NATIVE_ISA`` does the same at import.

    Parameters
    ----------
    name : str
        One of those that :func:`show_config` lists.

    Raises
    ------
    ValueError
        If this build or this CPU does not have it.

    Examples
    --------
    >>> import xent_native as xn
    >>> before = xn.isa()
    >>> xn.set_isa("baseline")
    >>> xn.isa()
    'baseline'
    >>> xn.set_isa(before)
    """
    levels = dict(_core.isas())
    if not isinstance(name, str) or not levels.get(name):
        known = ", ".join(repr(level) for level, supported in levels.items() if supported)
        reason = (
            "this CPU does not run it" if isinstance(name, str) and name in levels else "there is no such one"
        )
        raise ValueError(f"instruction set must be one of {known}; got {_options.shown(name)}: {reason}")
    _core.set_isa(name)


def config() -> dict[str, object]:
    """What :func:`show_config` prints, as a dictionary."""
    from . import __version__

    return {
        "xent_native": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": " ".join(getattr(platform.uname(), part) for part in ("system", "release", "machine")),
        "isa": isa(),
        "isas": {name: "supported" if supported else "not on this CPU" for name, supported in _core.isas()},
        "openmp": bool(_core.has_openmp()),
        "threads": get_num_threads(),
        "kernels": list(_core.kernels()),
    }


def show_config() -> None:
    """Print versions, instruction sets, threads and kernels: what a bug report should have.

    Examples
    --------
    >>> import xent_native as xn
    >>> xn.show_config()  # doctest: +ELLIPSIS
    xent_native  ...
    """
    for key, value in config().items():
        if isinstance(value, dict):
            value = ", ".join(f"{name} ({state})" for name, state in value.items())
        elif isinstance(value, list):
            value = ", ".join(value)
        sys.stdout.write(f"{key:<12} {value}\n")


def read_environment() -> None:
    """Take ``XENT_NATIVE_ISA`` and ``XENT_NATIVE_NUM_THREADS``; a value that makes no sense is an error."""
    global _process_threads
    name = os.environ.get("XENT_NATIVE_ISA")
    if name:
        try:
            set_isa(name)
        except ValueError as error:
            raise ValueError(f"XENT_NATIVE_ISA: {error}") from None
    count = os.environ.get("XENT_NATIVE_NUM_THREADS")
    if count:
        try:
            _process_threads = check_threads(int(count), "XENT_NATIVE_NUM_THREADS")
        except ValueError:
            raise ValueError(
                f"XENT_NATIVE_NUM_THREADS must be an integer of at least 1; got {count!r}"
            ) from None

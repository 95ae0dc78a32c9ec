# SPDX-License-Identifier: BSD-3-Clause
"""Reading ahead: a thread fetches the next chunk while the caller works on this one."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Iterator
from typing import Any

from .. import runtime

__all__ = ["ahead", "threads_beside_reader"]

_FEW_CPUS = 8  # here threads may be more than CPUs: see xn_threads
_AHEAD = 2  # chunks in memory: one that is worked on and one that is read; sources have as many buffers


def threads_beside_reader(n_threads: Any) -> int | None:
    """How many threads shall score while another one reads; what the caller or a setting says goes first.

    Threads of GNU's OpenMP that wait for the last one of a call spin, on a CPU that the reader could use. They do not
    if they are more than the CPUs; and where there are many CPUs, one of them can be left to the reader.
    """
    if n_threads is not None:
        return runtime.check_threads(n_threads)
    usual, cpus = runtime.get_num_threads(), os.cpu_count()
    if usual != cpus or usual == 1:
        return None
    return usual + 1 if usual < _FEW_CPUS else usual - 1


@contextlib.contextmanager
def ahead(items: Iterator[Any]) -> Iterator[Iterator[Any]]:
    """Items of an iterator that a thread runs, one ahead of who takes them.

    An item stays untouched until the next is asked for. Errors of the iterator are raised where its items are taken;
    on leaving, the thread has ended.
    """
    free = threading.Semaphore(_AHEAD)
    ready: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
    stop = threading.Event()
    end = object()

    def fetch() -> None:
        try:
            while True:
                free.acquire()
                if stop.is_set():
                    return
                item = next(items, end)
                ready.put((item, None))
                if item is end:
                    return
        except BaseException as error:
            ready.put((end, error))

    def taken() -> Iterator[Any]:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is end:
                return
            yield item
            del item  # its memory goes before the thread may read on
            free.release()

    thread = threading.Thread(target=fetch, name="xent-native-reader", daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        stop.set()
        free.release()
        thread.join()

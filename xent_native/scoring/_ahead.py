# SPDX-License-Identifier: BSD-3-Clause
"""Reading ahead: a thread fetches the next chunk while the caller works on this one."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["ahead"]

_AHEAD = 2  # chunks in memory: one that is worked on and one that is read; sources have as many buffers


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

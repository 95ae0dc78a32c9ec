# SPDX-License-Identifier: BSD-3-Clause
"""Threads that each read a chunk, work on it and take the next: reading and arithmetic on all CPUs at a time.

A chunk stays in the cache of the CPU that read it, and no thread waits for others at the end of each chunk, as the
threads of a parallel loop do.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Generic, TypeVar

__all__ = ["Workers"]

_AHEAD = 2  # chunks for each thread that may be done before the caller has seen the result of one

_Chunk = TypeVar("_Chunk")
_Result = TypeVar("_Result")


class Workers(Generic[_Chunk, _Result]):
    """One pass over chunks.

    Each chunk is taken, in order and by one thread at a time; then `prepare`d, several at a time; and then, if no
    chunk before it has failed, `enter`ed, several at a time. So what was entered is always all chunks up to some
    one, and an error is that of the first chunk that has one, as if a single thread had done it all.

    Parameters
    ----------
    chunks : iterator
        A chunk stays valid until the thread that took it takes another.
    prepare : callable
        Of a chunk and how many threads it may use: a result, or the error of the chunk.
    enter : callable
        Of a result: keeps it.
    count : int
        How many threads; with 1 the caller's own does everything, unless `apart`.
    inner : int
        How many threads `prepare` may use.
    apart : bool
        Whether one thread, too, shall not be the caller's: Ctrl-C is raised in the main thread, wherever that is.
    """

    def __init__(
        self,
        chunks: Iterator[_Chunk],
        prepare: Callable[[_Chunk, int], _Result],
        enter: Callable[[_Result], None],
        count: int,
        inner: int = 1,
        *,
        apart: bool = False,
    ) -> None:
        self._chunks, self._prepare, self._enter = chunks, prepare, enter
        self._count, self._inner, self._apart = count, inner, apart
        self._taking = threading.Lock()
        self._taken = 0  # under the lock above, as is the next
        self._stopped = False
        self._turn = threading.Condition()
        self._prepared = self._entered = 0  # under the condition, as are the next two
        self._failed: int | None = None  # the first chunk that has failed
        self._error: BaseException | None = None
        self._ahead = threading.Semaphore(
            _AHEAD * count if count > 1 else 1
        )  # chunks whose results nobody has seen
        self._results: queue.SimpleQueue[_Result | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._broken = False

    @property
    def is_whole(self) -> bool:
        """Whether what was entered is all of the first chunks and nothing else; known when nothing runs any more."""
        return not self._broken and not any(one.is_alive() for one in self._threads)

    @property
    def has_failed(self) -> bool:
        """Whether a chunk has, so that nothing more is entered but what is before it."""
        return self._failed is not None

    def results(self) -> Generator[_Result, None, None]:
        """What was entered, in about the order of the chunks. To be called once, and to be run to its end or closed."""
        if self._count == 1 and not self._apart:
            yield from self._alone()
            return
        names = (f"xent-native-{i}" for i in range(self._count))
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for name in names]
        try:
            running = self._start()
            while running:
                result = self._results.get()
                if result is None:
                    running -= 1
                else:
                    yield result
                    self._ahead.release()
        finally:
            self._stopped = True
            for _ in self._threads:
                self._ahead.release()
            for thread in self._threads:
                if thread.ident is not None:
                    thread.join()
        if self._error is not None:
            raise self._error

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """All chunks that were taken have been entered, unless one has failed, and no more are taken meanwhile."""
        with self._taking:
            with self._turn:
                self._turn.wait_for(lambda: self._entered == self._taken or self._failed is not None)
            yield

    def _start(self) -> int:
        """How many threads there are: fewer than wanted, if the system gives no more."""
        for started, thread in enumerate(self._threads):
            try:
                thread.start()
            except RuntimeError:
                if not started:
                    raise
                return started
        return len(self._threads)

    def _alone(self) -> Iterator[_Result]:
        for chunk in self._chunks:
            result = self._prepare(chunk, self._inner)
            self._broken = True
            self._enter(result)
            self._broken = False
            yield result

    def _work(self) -> None:
        index = 0
        try:
            while True:
                self._ahead.acquire()
                with self._taking:
                    if self._stopped:
                        self._ahead.release()  # for those that wait
                        return
                    index = self._taken
                    chunk = next(self._chunks, None)
                    if chunk is None:
                        self._stopped = True
                        self._ahead.release()
                        return
                    self._taken += 1
                result = self._prepare(chunk, self._inner)
                if not self._is_next(index):
                    return
                try:
                    self._enter(result)
                except BaseException:
                    self._broken = True
                    raise
                with self._turn:
                    self._entered += 1
                    self._turn.notify_all()
                self._results.put(result)
                del chunk, result  # their memory goes before more is read
        except BaseException as error:
            self._stopped = True
            self._ahead.release()
            with self._turn:
                if self._failed is None or index < self._failed:
                    self._failed, self._error = index, error
                self._turn.notify_all()
        finally:
            self._results.put(None)

    def _is_next(self, index: int) -> bool:
        """Waits until all chunks before this one are prepared; False if one of them has failed."""
        with self._turn:
            self._turn.wait_for(
                lambda: self._prepared == index or (self._failed is not None and self._failed < index)
            )
            if self._prepared != index:
                return False
            self._prepared += 1
            self._turn.notify_all()
            return True

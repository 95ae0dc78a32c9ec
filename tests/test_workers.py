# SPDX-License-Identifier: BSD-3-Clause
"""Threads that share a pass over chunks: what was entered is always the first chunks, errors are those of the first."""

from __future__ import annotations

import random
import threading
import time

import pytest

from xent_native.scoring._workers import Workers

COUNTS = (1, 2, 3, 8)


class PlannedError(Exception):
    """What a chunk fails with."""


class Pass:
    """Chunks are numbers; preparing them takes a random time, so that their order is lost."""

    def __init__(
        self, count: int, chunks: int = 60, bad: tuple[int, ...] = (), *, apart: bool = False, **where
    ) -> None:
        self.bad, self.where = bad, where
        self.entered: list[int] = []
        self.threads: set[int] = set()
        self.chunks = chunks
        self.workers = Workers(self.taken(), self.prepare, self.enter, count, apart=apart)

    def taken(self):
        for i in range(self.chunks):
            if i == self.where.get("read"):
                raise PlannedError(f"read {i}")
            yield i

    def prepare(self, chunk: int, threads: int) -> int:
        assert threads == 1
        self.threads.add(threading.get_ident())
        time.sleep(random.random() / 1000)
        if chunk in self.bad:
            raise PlannedError(f"chunk {chunk}")
        return chunk

    def enter(self, chunk: int) -> None:
        if chunk == self.where.get("enter"):
            raise PlannedError(f"enter {chunk}")
        self.entered.append(chunk)


@pytest.mark.parametrize("count", COUNTS)
def test_every_chunk_is_entered_once(count):
    one = Pass(count)
    assert sorted(one.workers.results()) == list(range(60))
    assert sorted(one.entered) == list(range(60))
    assert one.workers.is_whole
    assert not one.workers.has_failed
    assert (threading.get_ident() in one.threads) == (count == 1)


def test_one_thread_apart():
    """It does nothing before the caller has seen what it did last."""
    one = Pass(1, apart=True)
    for seen, _ in enumerate(one.workers.results(), 1):
        assert one.entered == list(range(seen))
    assert threading.get_ident() not in one.threads
    assert seen == 60


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("chunks", [0, 1])
def test_fewer_chunks_than_threads(count, chunks):
    assert list(Pass(count, chunks).workers.results()) == list(range(chunks))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("bad", [(0,), (17,), (17, 18, 19, 20), (20, 17), (59,)])
def test_the_error_is_that_of_the_first_chunk(count, bad):
    one = Pass(count, bad=bad)
    with pytest.raises(PlannedError, match=f"^chunk {min(bad)}$"):
        list(one.workers.results())
    assert sorted(one.entered) == list(range(min(bad)))
    assert one.workers.is_whole


@pytest.mark.parametrize("count", COUNTS)
def test_errors_of_reading(count):
    one = Pass(count, read=23)
    with pytest.raises(PlannedError, match=r"^read 23$"):
        list(one.workers.results())
    assert sorted(one.entered) == list(range(23))
    assert one.workers.is_whole


@pytest.mark.parametrize("count", COUNTS)
def test_an_error_of_entering_leaves_half_a_chunk(count):
    one = Pass(count, enter=9)
    with pytest.raises(PlannedError, match=r"^enter 9$"):
        list(one.workers.results())
    assert not one.workers.is_whole


@pytest.mark.parametrize("count", COUNTS)
def test_a_caller_that_stops(count):
    """What was entered is the first chunks, not many more than the caller has seen, and no thread is left."""
    one = Pass(count, 10_000)
    results = one.workers.results()
    for _ in range(20):
        next(results)
    results.close()
    assert sorted(one.entered) == list(range(len(one.entered)))
    assert 20 <= len(one.entered) <= 20 + 4 * count
    assert one.workers.is_whole
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("xent-native-")]


@pytest.mark.parametrize("count", COUNTS)
def test_a_pause_sees_whole_chunks(count):
    one = Pass(count, 200)
    for seen, _ in enumerate(one.workers.results(), 1):
        if seen % 10 == 0:
            with one.workers.paused():
                there = sorted(one.entered)
                assert there == list(range(len(there)))
                assert len(there) >= seen
                time.sleep(0.001)
                assert len(one.entered) == len(there)
    assert len(one.entered) == 200


@pytest.mark.parametrize("count", [2, 5])
def test_a_pause_while_a_chunk_fails(count):
    """It ends, although what was taken will never be entered as a whole."""
    one = Pass(count, bad=(5,))

    def pause_often() -> None:
        for _ in one.workers.results():
            with one.workers.paused():
                pass

    with pytest.raises(PlannedError, match="chunk 5"):
        pause_often()
    assert sorted(one.entered) == list(range(5))


@pytest.mark.parametrize("started", [0, 1])
def test_a_system_that_gives_no_more_threads(monkeypatch, started):
    """Those that there are do the work; without any it is an error."""
    one, start, calls = Pass(4), threading.Thread.start, []

    def refuse(thread):
        calls.append(thread)
        if len(calls) > started:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    if started:
        assert sorted(one.workers.results()) == list(range(60))
        assert len(one.threads) == 1
    else:
        with pytest.raises(RuntimeError, match="can't start"):
            list(one.workers.results())
        assert one.entered == []

"""Many transfers at once: all are done, errors are told apart, and Ctrl-C is prompt."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from rv_core.transfers import run_parallel


def test_every_item_is_done_and_errors_are_results() -> None:
    def do(item: int, check: Callable[[], None]) -> int:
        if item % 10 == 0:
            raise ValueError(item)
        return item * 2

    found = dict(run_parallel(do, range(200), 7))
    assert len(found) == 200
    for item, result in found.items():
        assert isinstance(result, ValueError) if item % 10 == 0 else result == item * 2


@pytest.mark.parametrize("threads", [1, 5])
def test_no_more_run_at_once_than_asked(threads: int) -> None:
    running, most = 0, 0
    lock, together = threading.Lock(), threading.Barrier(threads)

    def do(item: int, check: Callable[[], None]) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(60)
        with lock:
            running -= 1

    results = [result for _, result in run_parallel(do, range(50), threads)]
    assert results == [None] * 50, "some waited for others in vain"
    assert most == threads


def test_items_are_drawn_as_they_are_needed() -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for item in range(10_000):
            drawn.append(item)
            yield item

    with closing(run_parallel(lambda item, check: item, items(), 3)) as results:
        next(results)
    assert len(drawn) < 20


def test_nothing_goes_on_after_the_end() -> None:
    before = set(threading.enumerate())
    assert list(run_parallel(lambda item, check: item, [], 5)) == []
    assert set(threading.enumerate()) <= before
    list(run_parallel(lambda item, check: item, range(9), 5))
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive()


def test_giving_up_reaches_those_that_ask() -> None:
    cleaned: list[int] = []
    began, done = threading.Event(), threading.Event()

    def do(item: int, check: Callable[[], None]) -> None:
        if item == 0:
            return
        try:
            began.set()
            while True:
                check()
                time.sleep(0.005)
        finally:
            cleaned.append(item)
            done.set()

    with closing(run_parallel(do, range(100), 2)) as results:
        next(results)
        assert began.wait(60)
    assert done.wait(60)
    assert 1 <= len(cleaned) <= 2


def test_the_one_who_waits_hears_the_time_go_by() -> None:
    ticks: list[int] = []
    go_on = threading.Event()

    def tick() -> None:
        ticks.append(threading.get_ident())
        if len(ticks) == 2:
            go_on.set()

    list(run_parallel(lambda item, check: go_on.wait(30), range(3), 2, tick))
    assert len(ticks) >= 2
    assert set(ticks) == {threading.get_ident()}


def test_ctrl_c_ends_a_process_whose_transfers_hang() -> None:
    script = textwrap.dedent("""
        import time
        from contextlib import closing
        from rv_core.transfers import run_parallel
        def hang(item, check):
            time.sleep(600)
        with closing(run_parallel(hang, range(9), 3)) as results:
            print("ready", flush=True)
            for _ in results:
                pass
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout and process.stdout.readline() == b"ready\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in errors

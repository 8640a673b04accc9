"""Servers that take few requests at a time are sent fewer, and all is done in the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import attrs
import pytest
from rv_core.transfers import Retries, run_parallel

from rv_core import TransferError

HURRIED = Retries(min_wait=0.001, max_wait=0.02)


@attrs.define
class Server:
    """Takes ``most`` requests at a time, each for ``seconds``, and turns down the others."""

    most: int
    seconds: float = 0.01
    never: frozenset[int] = frozenset()
    asked: int = 0
    served: int = 0
    at_work: int = 0
    most_at_work: int = 0
    lock: threading.Lock = attrs.field(factory=threading.Lock)

    def get(self, item: int) -> int:
        with self.lock:
            self.asked += 1
            if self.at_work >= self.most or item in self.never:
                raise TransferError(f"{item} is turned down", busy=True)
            self.at_work += 1
            self.most_at_work = max(self.most_at_work, self.at_work)
        time.sleep(self.seconds)
        with self.lock:
            self.at_work -= 1
            self.served += 1
        return item

    def fetch(self, item: int, check: Callable[[], None]) -> int:
        return HURRIED(lambda: self.get(item))


@pytest.mark.parametrize("most", [1, 5])
@pytest.mark.parametrize("seconds", [0.01, 0.2])
def test_a_server_that_takes_few_at_a_time_serves_all(most: int, seconds: float) -> None:
    """Also one that takes longer for a request than six attempts do."""
    server = Server(most, seconds)
    count = 100 if seconds < 0.1 else 10
    found = dict(run_parallel(server.fetch, range(count), 32))
    assert found == {item: item for item in range(count)}


def test_it_is_not_asked_again_and_again() -> None:
    server = Server(4)
    list(run_parallel(server.fetch, range(200), 64))
    assert server.served == 200
    assert server.asked < 2 * 200


def test_a_server_that_recovers_is_sent_as_many_as_before() -> None:
    server = Server(2)

    def fetch(item: int, check: Callable[[], None]) -> int:
        if item == 100:
            server.most, server.most_at_work = 99, 0
        return server.fetch(item, check)

    assert not [r for _, r in run_parallel(fetch, range(600), 16) if isinstance(r, Exception)]
    assert server.most_at_work == 16


def test_a_server_that_serves_nobody_is_an_error_after_six_attempts() -> None:
    server = Server(0)
    found = dict(run_parallel(server.fetch, range(20), 16))
    assert all(isinstance(result, TransferError) for result in found.values())
    # Each time that fewer are tried gives one of them another six.
    assert 6 * 20 <= server.asked <= 6 * (20 + 4)


def test_a_file_that_is_never_served_is_an_error_and_the_others_are_not() -> None:
    server = Server(99, 0.001, never=frozenset({0, 7}))
    found = dict(run_parallel(server.fetch, range(300), 16))
    assert {item for item, result in found.items() if isinstance(result, TransferError)} == {0, 7}
    assert server.served == 298


def test_other_errors_that_pass_keep_all_in_flight() -> None:
    server, failed = Server(99), set()

    def get(item: int) -> int:
        if item % 3 == 0 and item not in failed:
            failed.add(item)
            raise TransferError("the connection broke")
        return server.get(item)

    found = dict(run_parallel(lambda item, _: HURRIED(lambda: get(item)), range(200), 16))
    assert found == {item: item for item in range(200)}
    assert server.most_at_work == 16


def test_those_that_wait_in_line_hear_of_the_end() -> None:
    before = threading.active_count()
    begun, let_go = threading.Event(), threading.Event()
    server = Server(0)

    def fetch(item: int, check: Callable[[], None]) -> None:
        if item == 0:
            begun.set()
            assert let_go.wait(10)
        begun.wait()
        server.fetch(item, check)

    def ctrl_c() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_parallel(fetch, range(20), 8, ctrl_c))
    assert threading.active_count() == before + 1, "others than the one that holds on are there"
    let_go.set()

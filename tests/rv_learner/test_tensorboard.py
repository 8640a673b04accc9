"""TensorBoard beside a training: it serves the scalars, and ends when the training does."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from rv_learner.tensorboard import Scalars, TensorBoard, board_for

from rv_core import Kernel, TrainOptions


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read()


def eventually(condition):
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.1)
    return condition()


def answers(url: str) -> bool:
    try:
        return bool(get(url))
    except OSError:
        return False


@pytest.mark.slow
def test_its_page_and_its_scalars_can_be_fetched_and_it_ends_with_the_block(tmp_path):
    scalars = Scalars(tmp_path)
    for step in range(1, 6):
        scalars.write("train", step, {"loss": 1 / step, "learning_rate": 0.1})
    scalars.close()
    with TensorBoard(tmp_path, port=0) as board:  # one that the system chooses
        url = board.wait_until_ready(120)
        assert url is not None
        assert b"<html" in get(url).lower()

        def points():
            try:
                return json.loads(get(f"{url}data/plugin/scalars/scalars?run=train&tag=loss"))
            except OSError:
                return None

        read = eventually(points)
        assert [(step, round(value, 4)) for _, step, value in read] == [
            (1, 1.0), (2, 0.5), (3, 0.3333), (4, 0.25), (5, 0.2),
        ]  # fmt: skip
    assert not answers(url)


@pytest.mark.slow
@pytest.mark.parametrize("listens", [True, False])
def test_a_port_that_is_taken_makes_way_for_the_next(tmp_path, listens):
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        if listens:
            taken.listen()
        port = taken.getsockname()[1]
        with TensorBoard(tmp_path, "localhost", port) as board:
            url = board.wait_until_ready(120)
            assert url is not None
            assert int(url.rstrip("/").rsplit(":", 1)[1]) > port


@pytest.mark.slow
def test_it_ends_when_the_training_is_killed(tmp_path):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from rv_learner.tensorboard import TensorBoard\n"
        f"with TensorBoard(Path({str(tmp_path)!r}), port=0) as board:\n"
        "    print(board.wait_until_ready(120), flush=True); time.sleep(600)\n"
    )
    training = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        url = training.stdout.readline().strip()
        assert answers(url)
    finally:
        os.kill(training.pid, signal.SIGKILL)
        training.wait()
        training.stdout.close()
    assert eventually(lambda: not answers(url))


def test_without_tensorboard_there_is_a_warning_and_training_goes_on(tmp_path, caplog, monkeypatch):
    import rv_learner.tensorboard as module

    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING), TensorBoard(tmp_path) as board:
        assert board.wait_until_ready(0) is None
    assert "tensorboard is not installed" in caplog.text


def test_one_that_fails_to_start_is_a_warning(tmp_path, caplog):
    nowhere = TensorBoard(tmp_path, "no.such.host.invalid", 70000)
    with caplog.at_level(logging.WARNING), nowhere as board:
        board.wait_until_ready(120)
        assert eventually(lambda: "did not start" in caplog.text)


def test_options_win_over_settings_and_settings_over_localhost_6006(tmp_path, monkeypatch):
    def address(options, **settings):
        board = board_for(Kernel(config={"tensorboard": settings}), options, tmp_path)
        return board and tuple(board._command[-2:])

    assert address(TrainOptions()) == ("localhost", "6006")
    assert address(TrainOptions(), host="0.0.0.0", port=7000) == ("0.0.0.0", "7000")
    options = TrainOptions(tensorboard_host="127.0.0.1", tensorboard_port=7001)
    assert address(options, host="0.0.0.0", port=7000) == ("127.0.0.1", "7001")
    assert address(TrainOptions(do_monitoring=False)) is None
    monkeypatch.setenv("RV_TENSORBOARD_HOST", "here")
    monkeypatch.setenv("RV_TENSORBOARD_PORT", "8000")
    assert address(TrainOptions()) == ("here", "8000")

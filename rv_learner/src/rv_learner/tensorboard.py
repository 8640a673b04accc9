"""TensorBoard: the logs it reads, and a server of it beside the training."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rv_core import Kernel, TrainOptions

logger = logging.getLogger(__name__)

SECTION = "tensorboard"
DEFAULT_HOST = "localhost"
DEFAULT_PORT = 6006


class Scalars:
    """Writes the curves and pictures of a run below a log folder, a run of TensorBoard each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, Any] = {}

    def write(self, run: str, step: int, values: Mapping[str, float]) -> None:
        import tensorflow as tf

        with self._writer(run).as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    def pictures(self, run: str, name: str, images: Any) -> None:
        """``images``: uint8 [N, H, W, 1 or 3 or 4]."""
        import tensorflow as tf

        with self._writer(run).as_default(0):
            tf.summary.image(name, images, max_outputs=len(images))

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()

    def _writer(self, run: str) -> Any:
        if run not in self._writers:
            import tensorflow as tf

            folder = str(self._folder / run)
            self._writers[run] = tf.summary.create_file_writer(folder, flush_millis=5000)
        return self._writers[run]


class TensorBoard:
    """TensorBoard as a child process, for as long as the block lasts; it never stops a training.

    ``url`` is its address once it serves. It listens on the first free port from ``port`` on. It
    ends with the block, and with this process where that is killed.
    """

    url: str | None = None

    def __init__(self, logs: Path, host: str = DEFAULT_HOST, port: int = DEFAULT_PORT) -> None:
        self._command = [
            sys.executable, "-m", "rv_learner._tensorboard_child", str(logs), host, str(port),
        ]  # fmt: skip
        self._child: subprocess.Popen[str] | None = None
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        if find_spec("tensorboard") is None:
            logger.warning("tensorboard is not installed, so training runs without it")
            return self
        try:
            self._child = subprocess.Popen(  # noqa: S603
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                # Ctrl-C in a terminal is for the training, which ends this one in its own time.
                start_new_session=True,
            )
        except OSError as error:
            logger.warning(
                "TensorBoard could not be started, so training runs without it: %s", error
            )
            return self
        threading.Thread(target=self._watch, args=(self._child,), daemon=True).start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        assert child.stdin is not None
        with suppress(OSError):
            child.stdin.close()
        try:
            child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def wait_until_ready(self, seconds: float) -> str | None:
        """Its address, as soon as it serves or has failed to; ``None`` if it does not by then."""
        self._ready.wait(seconds)
        return self.url

    def _watch(self, child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        assert child.stderr is not None
        for line in child.stdout:
            with suppress(ValueError, KeyError, TypeError):
                self.url = json.loads(line)["url"]
                logger.info("TensorBoard: %s", self.url)
                self._ready.set()
        # The rest is kept from filling the pipe; its last line says why where it fails.
        last = ""
        for line in child.stderr:
            last = line.strip() or last
        if self.url is None and self._child is not None:
            logger.warning("TensorBoard did not start, so training runs without it: %s", last)
        self._ready.set()


def board_for(kernel: Kernel, options: TrainOptions, logs: Path) -> TensorBoard | None:
    """The TensorBoard that the options and the settings ``[tensorboard]`` ask for; ``None`` where
    ``do_monitoring`` is off."""
    if not options.do_monitoring:
        return None
    host = options.tensorboard_host or kernel.config.get(SECTION, "host", DEFAULT_HOST)
    port = options.tensorboard_port
    if port is None:
        port = kernel.config.get(SECTION, "port", DEFAULT_PORT)
    return TensorBoard(logs, host, port)

"""The process that runs TensorBoard: ``python -m rv_learner._tensorboard_child LOGDIR HOST PORT``.

It prints its address as one line of JSON and serves until its standard input ends, which it does
when the training does, by whatever cause: the system closes the pipe of a process that is killed.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
from contextlib import suppress
from types import ModuleType

TRIED_PORTS = 100
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(logdir: str, host: str, port: int) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _ask_for_a_signal()
    # TensorBoard reads scalars and images without TensorFlow, which would cost seconds and memory,
    # when a module of this name can be imported.
    sys.modules["tensorboard.compat.notf"] = ModuleType("tensorboard.compat.notf")
    from tensorboard import program

    for candidate in range(port, min(port + TRIED_PORTS, 65536)):
        server = program.TensorBoard()
        server.configure(
            argv=["tensorboard", "--logdir", logdir, "--host", host, "--port", str(candidate),
                  "--load_fast=false", "--reload_interval", "5"]
        )  # fmt: skip
        try:
            url = server.launch()
        except program.TensorBoardPortInUseError:
            continue
        except SystemExit as end:
            # TensorBoard asks whether somebody answers at the port. Where it is only bound (a port
            # that an outgoing connection has, say), Werkzeug finds out, and ends the process.
            if getattr(end.__context__, "errno", None) == errno.EADDRINUSE:
                continue
            raise
        sys.stdout.write(json.dumps({"url": url}) + "\n")
        sys.stdout.flush()
        threading.Event().wait()
    sys.exit(f"no port from {port} on is free")


def _end_with_parent() -> None:
    # The read is os.read's, not sys.stdin's, whose lock would be held at exit.
    with suppress(OSError):
        while os.read(0, 1024):
            pass
    os._exit(0)


def _ask_for_a_signal() -> None:
    """On Linux the end of the parent is also a signal, should another process hold the pipe."""
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

"""Local files on their way up."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Final

from rv_core.local_files import failures
from rv_core.transfers import run_parallel

from rv_core import FileInfo, OnProgress, Progress
from rv_fs_s3._bodies import Body, Memory, OpenFile
from rv_fs_s3._client import Client
from rv_fs_s3._locations import Location
from rv_fs_s3._upload import SINGLE_BYTES, Multipart, part_bytes, put

PARTS_AT_ONCE: Final = 8
_SMALL_BYTES: Final = 1 << 20
_INTERRUPT_SECONDS: Final = 0.5


def upload(client: Client, location: Location, path: str, on_progress: OnProgress) -> FileInfo:
    """Upload a file with one request, or in parts; see `S3FileSystem.copy_to`."""
    with ExitStack() as opened:
        with failures("read", path):
            stream = opened.enter_context(open(path, "rb", buffering=0))  # noqa: PTH123
            file = OpenFile(stream.fileno(), path)
        progress = _Sent(file.size, on_progress)
        if file.size <= SINGLE_BYTES:
            info = _at_once(client, location, file, progress)
        else:
            info = _in_parts(client, location, file, progress)
        progress.end()
        return info


class _GivenUp(BaseException):
    """What the caller's callback raised, on its way past botocore, which would take it for a
    connection that broke."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class _Sent:
    """Adds up what was sent of each part, and reports it; it never goes back."""

    def __init__(self, size: int, on_progress: OnProgress) -> None:
        self._size = size
        self._on_progress = on_progress
        self._parts: dict[int, int] = {}
        self._reported = -1

    def of(self, number: int) -> Callable[[int], None]:
        """What is told how many bytes of a part were sent, by any thread."""

        def sent(count: int) -> None:
            self._parts[number] = max(count, self._parts.get(number, 0))

        return sent

    def report(self) -> None:
        # The last byte counts once the object is there.
        done = min(sum(list(self._parts.values())), self._size - 1)
        if done > max(self._reported, 0):
            self._reported = done
            self._on_progress(Progress("copy", done, self._size, "B"))

    def end(self) -> None:
        self._on_progress(Progress("copy", self._size, self._size, "B"))


def _at_once(client: Client, location: Location, file: OpenFile, progress: _Sent) -> FileInfo:
    count = progress.of(1)

    def sent(done: int) -> None:
        count(done)
        try:
            progress.report()
        except Exception as error:  # noqa: BLE001  it is raised again
            raise _GivenUp(error) from None

    body = Body(file, 0, file.size, on_sent=sent)
    if file.size <= _SMALL_BYTES:
        data = b"".join(body.blocks())
        body = Body(Memory(data), 0, len(data), on_sent=sent)
    try:
        info = put(client, location, body, before=file.check_unchanged)
    except _GivenUp as given_up:
        raise given_up.error from None
    file.check_unchanged("; what is there now may be a mixture")
    return info


def _in_parts(client: Client, location: Location, file: OpenFile, progress: _Sent) -> FileInfo:
    step = part_bytes(file.size)
    multipart = Multipart(client, location)

    def send(number: int, check: Callable[[], None]) -> None:
        start = (number - 1) * step
        stop = min(file.size, start + step)
        multipart.send(number, Body(file, start, stop, check, progress.of(number)))

    numbers = range(1, -(-file.size // step) + 1)
    at_once = min(PARTS_AT_ONCE, client.settings.connections)
    try:
        with closing(run_parallel(send, numbers, at_once, progress.report)) as results:
            for _, result in results:
                if isinstance(result, BaseException):
                    raise result
                progress.report()
        file.check_unchanged()
        return multipart.complete()
    except Exception:
        multipart.abort()
        raise
    except BaseException:
        multipart.abort(_INTERRUPT_SECONDS)
        raise

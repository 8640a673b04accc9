"""Making objects: by one request, or in parts that become an object when all are there."""

from __future__ import annotations

import logging
import secrets
import threading
from base64 import b64decode
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import attrs
from awscrt import checksums as crt

from rv_core import (
    AlreadyExistsError,
    FileInfo,
    IntegrityError,
    NotFoundError,
    StorageError,
    TransferError,
)
from rv_fs_s3._bodies import Body
from rv_fs_s3._checksums import damaged, text_of, told
from rv_fs_s3._client import Answer, Client
from rv_fs_s3._errors import ConflictError, NoSuchUploadError, RefusedHeadError
from rv_fs_s3._locations import Location
from rv_fs_s3._source import info_of

logger = logging.getLogger(__name__)

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
MOST_PARTS: Final = 10_000
SINGLE_BYTES: Final = 32 << 20
"""Up to here an object is made by one request."""
PART_BYTES: Final = 16 << 20
_MARK: Final = "rv-write"
_ABORT_SECONDS: Final = 3.0


def part_bytes(size: int) -> int:
    """How large the parts of an object of known size are, so that they are not too many."""
    return max(PART_BYTES, -(-size // (MOST_PARTS - 1)))


def parameters(client: Client, mark: str | None) -> dict[str, Any]:
    """What goes with the request that makes an object, or that begins a multipart upload."""
    params: dict[str, Any] = dict(client.settings.of_written_objects())
    if mark is not None:
        params["Metadata"] = {_MARK: mark}
    return params


def put(
    client: Client,
    location: Location,
    body: Body,
    *,
    exclusive: bool = False,
    before: Callable[[], None] = lambda: None,
) -> FileInfo:
    """Make an object by one request. ``exclusive``: `AlreadyExistsError` where one is there.
    ``before``: called when the checksum is known, each time before anything is sent."""
    mark = secrets.token_hex(16) if exclusive else None
    sums = _checksum_of(client, body)
    params = {**parameters(client, mark), **sums}
    if exclusive:
        params["IfNoneMatch"] = "*"

    def make() -> Answer:
        before()
        try:
            return client.ask_once(
                "put_object", "write", location, Key=location.key, Body=body, **params
            )
        except ConflictError as conflict:
            raise TransferError(str(conflict), hint=conflict.hint) from None

    answer = _once(client, location, mark, make)
    return _check_result(client, location, answer, len(body), sums)


def _once(
    client: Client, location: Location, mark: str | None, make: Callable[[], Answer]
) -> Answer | None:
    """Make an object; ``None`` where an attempt made it whose answer did not arrive."""
    lost = False

    def attempt() -> Answer | None:
        nonlocal lost
        try:
            return make()
        except TransferError:
            lost = True
            raise
        except (AlreadyExistsError, NoSuchUploadError):
            if not lost or mark is None or not _is_marked(client, location, mark):
                raise
            return None

    return client.retries(attempt)


def _is_marked(client: Client, location: Location, mark: str) -> bool:
    try:
        found = client.ask("head_object", "write", location, Key=location.key)
    except (NotFoundError, RefusedHeadError):
        return False
    return bool(found.get("Metadata", {}).get(_MARK) == mark)


def _checksum_of(client: Client, body: Body) -> dict[str, str]:
    if client.settings.checksums:
        return {"ChecksumAlgorithm": "CRC64NVME", "ChecksumCRC64NVME": text_of(body.crc())}
    return {"ContentMD5": body.md5()}


def _check_result(
    client: Client,
    location: Location,
    answer: Answer | None,
    size: int,
    sums: Mapping[str, str],
) -> FileInfo:
    """Make sure that the object is what was sent: by what the server says of it in its answer,
    else by its size, which is asked for."""
    if answer is not None:
        kept, sent = told(answer), sums.get("ChecksumCRC64NVME")
        if kept is not None and kept.algorithm == "CRC64NVME" and sent is not None:
            if kept.value != sent:
                raise damaged(location.shown, kept.algorithm)
            return info_of(answer, size)
        md5 = sums.get("ContentMD5")
        if md5 is not None and answer.get("ETag", "").strip('"') == b64decode(md5).hex():
            return info_of(answer, size)
    try:
        found = client.ask("head_object", "write", location, Key=location.key)
    except RefusedHeadError:
        return info_of(answer or {}, size)
    info = info_of(found, found.get("ContentLength"))
    if answer is not None and answer.get("ETag") not in (None, found.get("ETag")):
        return info_of(answer, size)  # somebody else has written since: theirs says nothing of ours
    if info.size not in (None, size):
        raise IntegrityError(
            f"{location.shown} should have {size} bytes, it has {info.size}",
            hint="somebody else may have written it at the same time",
        )
    return info


@attrs.frozen
class Part:
    """A part that was sent: its number, from 1 on, its size, and what names it on completion."""

    number: int
    size: int
    crc: int | None
    named: dict[str, Any]


class Multipart:
    """An object that is made of parts; nothing is there before `complete`. Parts may be sent by
    several threads."""

    def __init__(self, client: Client, location: Location, *, exclusive: bool = False) -> None:
        self._client = client
        self._location = location
        self._exclusive = exclusive
        # Always marked: whether a completion whose answer is lost took place, only that tells.
        self._mark = secrets.token_hex(16)
        params = parameters(client, self._mark)
        if client.settings.checksums:
            params |= {"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "FULL_OBJECT"}
        answer = client.retries(
            lambda: self._ask_once("create_multipart_upload", "UploadId", **params)
        )
        self._id: str = answer["UploadId"]
        self._parts: dict[int, Part] = {}
        self._lock = threading.Lock()

    def send(self, number: int, body: Body) -> None:
        """Send a part, tried again where that may help. Raises `StorageError`."""
        params: dict[str, Any] = {}
        crc: int | None = None
        if self._client.settings.checksums:
            crc = body.crc()
            params |= {"ChecksumAlgorithm": "CRC64NVME", "ChecksumCRC64NVME": text_of(crc)}
        else:
            params["ContentMD5"] = body.md5()
        params |= {"UploadId": self._id, "PartNumber": number}
        answer = self._client.retries(
            lambda: self._ask_once("upload_part", "ETag", Body=body, **params)
        )
        named = {"PartNumber": number, "ETag": answer["ETag"]}
        if "ChecksumCRC64NVME" in answer:
            named["ChecksumCRC64NVME"] = answer["ChecksumCRC64NVME"]
        with self._lock:
            self._parts[number] = Part(number, len(body), crc, named)

    def complete(self) -> FileInfo:
        """Make the parts an object."""
        parts = [part for _, part in sorted(self._parts.items())]
        size = sum(part.size for part in parts)
        params: dict[str, Any] = {
            "UploadId": self._id,
            "MultipartUpload": {"Parts": [part.named for part in parts]},
        }
        crc = _joined(parts)
        if crc is not None and all("ChecksumCRC64NVME" in part.named for part in parts):
            params |= {"ChecksumCRC64NVME": crc, "ChecksumType": "FULL_OBJECT"}
            params["MpuObjectSize"] = size
        if self._exclusive:
            params["IfNoneMatch"] = "*"

        def make() -> Answer:
            return self._ask_once("complete_multipart_upload", "ETag", **params)

        answer = _once(self._client, self._location, self._mark, make)
        sums = {"ChecksumCRC64NVME": crc} if crc is not None else {}
        return _check_result(self._client, self._location, answer, size, sums)

    def _ask_once(self, operation: str, told: str, **params: Any) -> Answer:
        """What the server answers, if it tells what it has to."""
        key = self._location.key
        answer = self._client.ask_once(operation, "write", self._location, Key=key, **params)
        if not answer.get(told):
            raise TransferError(
                f"cannot write {self._location.shown}: what the server answers is no answer",
                hint="try again; a proxy on the way may answer in its place",
            )
        return answer

    def abort(self, seconds: float = _ABORT_SECONDS) -> None:
        """Drop what was sent, waiting for as long at most; what is left behind then is not
        visible, and goes by the bucket's rules."""

        def drop() -> None:
            try:
                self._client.ask(
                    "abort_multipart_upload",
                    "drop the parts of",
                    self._location,
                    Key=self._location.key,
                    UploadId=self._id,
                )
            except NotFoundError:
                pass
            except StorageError as error:
                logger.warning("%s; they are left behind, not visible", error)

        # As a thread of its own: on Ctrl-C nobody waits for a server that is gone.
        thread = threading.Thread(target=drop, daemon=True, name="rv abort")
        with suppress(RuntimeError):  # the interpreter is ending
            thread.start()
            thread.join(seconds)


def _joined(parts: list[Part]) -> str | None:
    """The CRC of all parts one after the other."""
    whole = 0
    for part in parts:
        if part.crc is None:
            return None
        whole = crt.combine_crc64nvme(whole, part.crc, part.size)
    return text_of(whole)

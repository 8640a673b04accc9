"""Deleting objects, a thousand with one request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from itertools import islice
from typing import Any, Final

from rv_core.transfers import run_parallel

from rv_core import AccessDeniedError, StorageError, TransferError
from rv_fs_s3._client import Client
from rv_fs_s3._errors import NotImplementedByServerError
from rv_fs_s3._locations import Location

BATCH: Final = 1000
_AT_ONCE: Final = 16
# What XML 1.0 cannot hold, in any spelling: https://www.w3.org/TR/xml/#charsets
_NOT_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_GONE: Final = {"NoSuchKey", "NoSuchVersion"}
_DENIED: Final = {"AccessDenied"}
_MAY_PASS: Final = {"InternalError", "OperationAborted", "ServiceUnavailable", "SlowDown"}


def delete_object(client: Client, location: Location) -> None:
    """Delete an object; that none is there is no error."""
    client.ask("delete_object", "delete", location, Key=location.key)


def delete_objects(client: Client, bucket: str, keys: Iterable[str]) -> None:
    """Delete objects of one bucket; that one is gone already is no error.

    Raises `StorageError` where the server kept some; the others are deleted all the same.
    """
    left = iter(keys)
    error: StorageError | None = None
    while batch := list(islice(left, BATCH)):
        single = [key for key in batch if _NOT_XML.search(key)]
        together = [key for key in batch if not _NOT_XML.search(key)]
        try:
            if together:
                _delete_batch(client, bucket, together)
        except NotImplementedByServerError:
            single = batch
        except (AccessDeniedError, _KeptError) as kept:
            error = error or kept
        _delete_one_by_one(client, bucket, single)
    if error is not None:
        raise error


class _KeptError(StorageError):
    """The server kept objects that it was asked to delete."""


def _delete_batch(client: Client, bucket: str, keys: list[str]) -> None:
    root = Location(bucket, "")
    todo = keys

    def attempt() -> None:
        nonlocal todo
        named = {"Objects": [{"Key": key} for key in todo], "Quiet": True}
        answer = client.ask_once("delete_objects", "delete files of", root, Delete=named)
        errors = [each for each in answer.get("Errors", ()) if each.get("Code") not in _GONE]
        if not errors:
            return
        again = [each["Key"] for each in errors if each.get("Code") in _MAY_PASS and "Key" in each]
        if len(again) == len(errors):
            todo = again
            raise TransferError(
                f"cannot delete {len(again)} file(s) of {root.shown}: the server answers "
                f"{errors[0].get('Code')}",
                hint="try again later",
            )
        raise _refused(bucket, [each for each in errors if each.get("Code") not in _MAY_PASS])

    client.retries(attempt)


def _refused(bucket: str, errors: list[Mapping[str, Any]]) -> StorageError:
    first = errors[0]
    code = str(first.get("Code", ""))
    shown = Location(bucket, str(first.get("Key", ""))).shown
    more = f" and {len(errors) - 1} more" if len(errors) > 1 else ""
    said = f"cannot delete {shown}{more}: the server answers {code}"
    if code in _DENIED:
        return AccessDeniedError(said, hint="look at what the credentials are allowed")
    return _KeptError(said)


def _delete_one_by_one(client: Client, bucket: str, keys: list[str]) -> None:
    def delete(key: str, _: Any) -> None:
        delete_object(client, Location(bucket, key))

    with closing(run_parallel(delete, keys, _AT_ONCE)) as results:
        for _, result in results:
            if isinstance(result, BaseException):
                raise result


def batches_by_bucket(locations: Iterable[Location]) -> Iterator[tuple[str, list[str]]]:
    """The keys of each bucket, as many at a time as one request deletes."""
    waiting: dict[str, list[str]] = {}
    for location in locations:
        keys = waiting.setdefault(location.bucket, [])
        keys.append(location.key)
        if len(keys) == BATCH:
            yield location.bucket, waiting.pop(location.bucket)
    yield from waiting.items()

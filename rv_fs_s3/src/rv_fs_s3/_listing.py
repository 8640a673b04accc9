"""What lies below a prefix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rv_core import ListedFile, StorageError
from rv_fs_s3._client import Answer, Client
from rv_fs_s3._locations import Location
from rv_fs_s3._source import info_of

_NOT_A_LISTING = "a proxy on the way may answer in its place"


def list_below(client: Client, folder: Location, ext: str = "") -> Iterator[ListedFile]:
    """All objects of a folder whose keys end with ``ext``, page by page as they are drawn."""
    prefix = folder.prefix
    root = f"s3://{folder.bucket}/"
    for page in _pages(client, folder, {"Prefix": prefix} if prefix else {}):
        for found in page.get("Contents", ()):
            key = found["Key"]
            if key.endswith(ext) and key.startswith(prefix):
                yield ListedFile(root + key, key[len(prefix) :], info_of(found, found["Size"]))


def holds_any(client: Client, folder: Location) -> bool:
    """Whether there is an object below a folder."""
    page = _page(client, folder, {"Prefix": folder.prefix, "MaxKeys": 1})
    return any(found["Key"].startswith(folder.prefix) for found in page.get("Contents", ()))


def _pages(client: Client, folder: Location, params: dict[str, Any]) -> Iterator[Answer]:
    token: str | None = None
    while True:
        page = _page(client, folder, params)
        yield page
        if not page["IsTruncated"]:
            return
        following = page.get("NextContinuationToken")
        if not following or following == token:
            raise StorageError(
                f"cannot list {folder.shown}: the server does not say how the listing goes on",
                hint="it does not speak the second version of the protocol's listings",
            )
        token = following
        params = {**params, "ContinuationToken": token}


def _page(client: Client, folder: Location, params: dict[str, Any]) -> Answer:
    page = client.ask("list_objects_v2", "list", folder, **params)
    # An empty answer would be read as an empty folder, which a sync might then make of another.
    if "IsTruncated" not in page:
        raise StorageError(
            f"cannot list {folder.shown}: what the server answers is no listing",
            hint=_NOT_A_LISTING,
        )
    return page

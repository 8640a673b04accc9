"""What GDAL is told so that it reads a file of a web server as we would.

Options: https://gdal.org/en/stable/user/virtual_file_systems.html#vsicurl-http-https-ftp-files-random-access
"""

from __future__ import annotations

import math
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rv_core import GdalAccess, StorageError
from rv_fs_http._answers import is_strong

if TYPE_CHECKING:
    from rv_core.transfers import Retries

    from rv_core import FileInfo
    from rv_fs_http._requests import Requester


def access_to(
    requester: Requester, retries: Retries, uri: str, version: FileInfo
) -> GdalAccess | None:
    """GDAL's way to one version of a file; ``None`` where it has none.

    It has none where the server does not keep to ranges, cannot compare versions or redirects us
    (whom to tell who we are, after that, is more than GDAL can be told), nor where it could not be
    kept from private addresses, from a proxy, or from cookies that the server set.
    """
    condition = _condition(version)
    if condition is None:
        return None
    try:
        way = retries(lambda: requester.way_of(uri, condition))
    except StorageError:  # whoever reads the file will hear of it
        return None
    if way is None:
        return None
    headers = dict(condition)
    if way.authorization is not None:
        headers["Authorization"] = way.authorization
    settings = requester.settings
    options = {
        "GDAL_HTTP_HEADERS": "".join(f"{name}: {value}\r\n" for name, value in headers.items()),
        "GDAL_HTTP_NETRC": "NO",
        "GDAL_HTTP_CONNECTTIMEOUT": str(max(1, math.ceil(settings.connect_timeout))),
        "GDAL_HTTP_LOW_SPEED_TIME": str(max(1, math.ceil(settings.read_timeout))),
        "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
        "GDAL_HTTP_MAX_RETRY": str(retries.attempts - 1),
        "GDAL_HTTP_RETRY_DELAY": str(retries.min_wait),
    }
    if way.bundle and Path(way.bundle).is_dir():
        options["GDAL_HTTP_CAPATH"] = way.bundle
    elif way.bundle:
        options["CURL_CA_BUNDLE"] = way.bundle
        options["GDAL_CURL_CA_BUNDLE"] = way.bundle
    if way.proxy is not None:
        secure = way.url.startswith("https:")
        options["GDAL_HTTPS_PROXY" if secure else "GDAL_HTTP_PROXY"] = way.proxy
    return GdalAccess(f"/vsicurl/{way.url}", options)


def _condition(version: FileInfo) -> dict[str, str] | None:
    """The header by which a server says when the file is another one; ``None`` where it cannot."""
    if is_strong(version.etag):
        assert version.etag is not None
        return {"If-Match": version.etag}
    if version.etag is None and version.last_modified is not None:
        return {"If-Unmodified-Since": format_datetime(version.last_modified, usegmt=True)}
    return None

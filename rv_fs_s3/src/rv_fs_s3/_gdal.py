"""What GDAL is told so that it reads an object of S3 as we would.

Options: https://gdal.org/en/stable/user/virtual_file_systems.html#vsis3-aws-s3-files
"""

from __future__ import annotations

import math
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from rv_core import GdalAccess
from rv_fs_s3._quiet_logs import quiet

if TYPE_CHECKING:
    from rv_core import FileInfo
    from rv_fs_s3._client import Client
    from rv_fs_s3._locations import Location


_SPECIAL: Final = "?#\\\r\n"
"""What GDAL takes for the end of a path, or for a part of its own."""


def access_to(client: Client, location: Location, version: FileInfo) -> GdalAccess | None:
    """GDAL's way to one version of an object; ``None`` where it has none: to what has no etag, to
    access points, and where there are no credentials."""
    if not location.key or version.etag is None or location.bucket.startswith("arn:"):
        return None
    if any(character in location.key for character in _SPECIAL):
        return None
    try:
        with quiet():
            return _access(client, location, version.etag)
    except (BotoCoreError, ClientError):  # whoever reads the file will hear of it, in our words
        return None


def _access(client: Client, location: Location, etag: str) -> GdalAccess | None:
    boto = client.boto()
    credentials = boto._get_credentials()  # the ones it signs with, which nothing else gives
    anonymous = client.settings.anonymous
    if credentials is None and not anonymous:
        return None
    address = _address(boto, location)
    if address is None:
        return None
    options = {
        **address,
        **_transport(boto, client, f"{'https' if address['AWS_HTTPS'] == 'YES' else 'http'}://"),
        "AWS_NO_SIGN_REQUEST": "YES" if anonymous else "NO",
        "AWS_REQUEST_PAYER": "requester" if client.settings.requester_pays else "",
        "AWS_REGION": boto.meta.region_name or "us-east-1",
        "AWS_DEFAULT_REGION": boto.meta.region_name or "us-east-1",
        "GDAL_HTTP_HEADERS": f"If-Match: {etag}\r\n",
        "CPL_VSIL_CURL_USE_HEAD": "NO",
    }
    expires = None
    if not anonymous:
        frozen = credentials.get_frozen_credentials()  # renewed, where they are about to end
        options["AWS_ACCESS_KEY_ID"] = frozen.access_key
        options["AWS_SECRET_ACCESS_KEY"] = frozen.secret_key
        options["AWS_SESSION_TOKEN"] = frozen.token or ""
        expires = getattr(credentials, "_expiry_time", None)
        if expires is not None:
            expires = expires.astimezone(UTC)
    return GdalAccess(f"/vsis3/{location.bucket}/{location.key}", options, expires)


def _address(boto: Any, location: Location) -> dict[str, str] | None:
    """Server, scheme and kind of address, as boto3 makes them up for this bucket."""
    signed = boto.generate_presigned_url(
        "get_object", Params={"Bucket": location.bucket, "Key": "key"}
    )
    url = urlsplit(signed)
    virtual = url.netloc.startswith(f"{location.bucket}.")
    if url.path != ("/key" if virtual else f"/{location.bucket}/key"):
        return None  # a server below a path, or an access point
    return {
        "AWS_S3_ENDPOINT": url.netloc[len(location.bucket) + 1 :] if virtual else url.netloc,
        "AWS_HTTPS": "YES" if url.scheme == "https" else "NO",
        "AWS_VIRTUAL_HOSTING": "TRUE" if virtual else "FALSE",
    }


def _transport(boto: Any, client: Client, scheme: str) -> dict[str, str]:
    """Certificates, proxies, patience and retries."""
    settings, retries = client.settings, client.retries
    http = boto._endpoint.http_session
    options = {
        "GDAL_HTTP_CONNECTTIMEOUT": str(max(1, math.ceil(settings.connect_timeout))),
        "GDAL_HTTP_LOW_SPEED_TIME": str(max(1, math.ceil(settings.read_timeout))),
        "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
        "GDAL_HTTP_MAX_RETRY": str(retries.attempts - 1),
        "GDAL_HTTP_RETRY_DELAY": str(retries.min_wait),
    }
    if isinstance(http._verify, str):
        options["CURL_CA_BUNDLE"] = http._verify
        options["GDAL_CURL_CA_BUNDLE"] = http._verify
    elif http._verify is False:
        options["GDAL_HTTP_UNSAFESSL"] = "YES"
    proxy = http._proxy_config.proxy_url_for(f"{scheme}host")
    if proxy:
        options["GDAL_HTTPS_PROXY" if scheme == "https://" else "GDAL_HTTP_PROXY"] = proxy
    return options

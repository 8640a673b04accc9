"""Which bucket and which key a URI names.

The key is taken as it stands: ``#``, ``?``, ``%20``, ``+`` and ``//`` are part of it, nothing is
decoded, and nothing is taken away but the one slash that follows the bucket.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from rv_core import StorageError, without_secrets

# What stands for a bucket may be the ARN of an access point, which holds slashes itself:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-access-points.html
_BUCKET: Final = re.compile(
    r"(arn:aws[\w-]*:(?:s3|s3-object-lambda|s3-outposts):[^/:]*:\d*:"
    r"(?:outpost[/:][\w-]+[/:])?accesspoint[/:][\w.-]+|[^/]*)(?:/|\Z)"
)
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SIGNED: Final = re.compile(r"[?&](?:x-amz-|awsaccesskeyid=|signature=)", re.IGNORECASE)


@attrs.frozen
class Location:
    """A bucket and a key in it; an empty key is the bucket's root."""

    bucket: str
    key: str

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def prefix(self) -> str:
        """What the keys of the folder of this name start with: ``bus`` is not ``bush/``."""
        return self.key.rstrip("/") + "/" if self.key.rstrip("/") else ""

    @property
    def shown(self) -> str:
        """The URI as it may stand in a message: one line, and no signed query."""
        uri = without_secrets(self.uri) if _SIGNED.search(self.key) else self.uri
        return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], uri)


def locate(uri: str) -> Location:
    """The location that a URI names; raises `StorageError` for one that names no bucket."""
    scheme, _, rest = uri.partition("://")
    found = _BUCKET.match(rest)
    bucket = found[1] if found else ""
    # An at sign is in no bucket's name; before it may stand a secret.
    if scheme.lower() != "s3" or not found or not bucket or "@" in bucket:
        raise StorageError(
            f"{without_secrets(uri)!r} names no bucket", hint="spell it s3://bucket/key"
        )
    key = rest[found.end() :]
    try:
        key.encode()
    except UnicodeEncodeError:
        raise StorageError(
            f"{without_secrets(uri)!a} cannot be a key: it is not valid Unicode",
            hint="keys of S3 are UTF-8 text",
        ) from None
    return Location(bucket, key)

"""What botocore and urllib3 raise, in the terms of RV's errors.

Nothing of a request is repeated in a message: URLs may be signed, and servers repeat what they
were sent. What the server says is shown by its code.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import urllib3
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from rv_core.transfers import ChangedError

from rv_core import (
    AccessDeniedError,
    AlreadyExistsError,
    ConfigError,
    IntegrityError,
    NotFoundError,
    RVError,
    StorageError,
    TransferError,
)

# The codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_EXPIRED: Final = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidToken",
    "TokenRefreshRequired",
}
_BUSY: Final = {
    "BandwidthLimitExceeded",
    "RequestLimitExceeded",
    "RequestThrottled",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
}
_MAY_PASS: Final = {
    *_BUSY,
    "BadDigest",
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "XAmzContentSHA256Mismatch",
}
_BUSY_STATUS: Final = {429, 503}
_MAY_PASS_STATUS: Final = {408, 425, 429}
_STAYS_STATUS: Final = {501, 505, 507}  # the last: the server's disk is full
_CONDITIONS: Final = {"ConditionalRequestConflict", "PreconditionFailed"}
_HINTS: Final = {
    "InvalidAccessKeyId": "the server does not know this access key: look at the credentials",
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key: look at both",
}
_DENIED_HINT: Final = (
    "look at the credentials (AWS_PROFILE, [s3] profile) and at what they are allowed; "
    "public data may need [s3] anonymous = true, data that others pay for requester_pays = true"
)
_NO_CREDENTIALS: Final = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.NoAuthTokenError,
    boto.SSOError,
    boto.TokenRetrievalError,
    boto.MetadataRetrievalError,
)
_WRONG_SETTING: Final = (
    boto.ProfileNotFound,
    boto.ConfigNotFound,
    boto.ConfigParseError,
    boto.InvalidConfigError,
    boto.InvalidProxiesConfigError,
    boto.InvalidRegionError,
    boto.NoRegionError,
)
_OLD_SERVER: Final = {"NotImplemented", "InvalidArgument", "InvalidRequest", "InvalidDigest"}


class NotModifiedError(StorageError):
    """The object is still the version that is known."""


class NoSuchUploadError(NotFoundError):
    """The multipart upload is not there (any more)."""


class UnsatisfiableError(StorageError):
    """The object has no byte of the range that was asked for."""


class ConflictError(AlreadyExistsError):
    """Somebody else wrote, or deleted, at the same moment: whether an object is there now, only
    another attempt tells."""


class RefusedHeadError(StorageError):
    """A HEAD was refused for a reason that only the answer to a GET would tell."""


class NotImplementedByServerError(StorageError):
    """The server does not know the operation."""


def is_expired(error: boto.ClientError) -> bool:
    """Whether new credentials may help."""
    # To a HEAD there is only the status: https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
    unsaid = error.operation_name == "HeadObject" and _status_of(error) == 400
    return unsaid or _code_of(error) in _EXPIRED


def refusal(error: boto.ClientError, action: str, shown: str, seconds: float = 0.0) -> StorageError:
    """What a server's answer other than success amounts to.

    ``action``: what was asked, such as ``"read"``; ``shown``: the URI as it may be shown.
    ``seconds``: how long the answer was waited for.
    """
    code = _code_of(error)
    status = _status_of(error)
    headers: Mapping[str, str] = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    named = f" {code}" if code and not code.isdecimal() else ""
    said = f"cannot {action} {shown}: the server answers {status}{named}"
    if status == 304:
        return NotModifiedError(said)
    if code in _EXPIRED:
        return AccessDeniedError(
            f"cannot {action} {shown}: the credentials have expired",
            hint="sign in again, or renew what the profile's credentials come from",
        )
    if code == "NoSuchBucket":
        return NotFoundError(
            f"cannot {action} {shown}: there is no such bucket", hint="check its name"
        )
    if code == "NoSuchUpload":
        return NoSuchUploadError(f"cannot {action} {shown}: the upload was ended by someone else")
    if status == 416:
        return UnsatisfiableError(said)
    # By their codes too: botocore makes a 500 of a 200 that has an error in its body.
    if status == 412 or code in _CONDITIONS:
        return _precondition(code, action, shown)
    if status in (301, 302, 307, 308) or code == "AuthorizationHeaderMalformed":
        return _elsewhere(error, headers, action, shown)
    if code == "AccessDenied":
        return AccessDeniedError(said, hint=_DENIED_HINT)
    if code in _MAY_PASS or _may_pass(status):
        return TransferError(
            said,
            hint="try again later",
            retry_after=_retry_after(headers),
            stalled=seconds,
            busy=code in _BUSY or status in _BUSY_STATUS,
        )
    if code == "InvalidObjectState":
        return AccessDeniedError(
            f"cannot {action} {shown}: the object is archived", hint="restore it first"
        )
    if status in (401, 403):
        return AccessDeniedError(said, hint=_HINTS.get(code, _DENIED_HINT))
    if error.operation_name == "HeadObject" and status in (400, 405, 501):
        return RefusedHeadError(said)
    if status == 404 or code == "NoSuchKey":
        missing = "there is no such object" if action == "read" else f"the server answers {status}"
        return NotFoundError(f"cannot {action} {shown}: {missing}")
    if status in (405, 501) or code == "NotImplemented":
        return NotImplementedByServerError(said, hint=_old_server(action))
    return StorageError(said, hint=_old_server(action) if code in _OLD_SERVER else None)


def failure(
    error: Exception, action: str, shown: str, seconds: float, longest_silence: float
) -> RVError:
    """What an error other than a server's refusal amounts to.

    ``seconds``: how long it took to come. ``longest_silence``: that a server is granted.
    """
    said = f"cannot {action} {shown}"
    inner = getattr(error, "kwargs", {}).get("error")
    if isinstance(inner, RVError):  # raised by a body of ours while it was being sent
        return inner
    if isinstance(error, _NO_CREDENTIALS):
        return AccessDeniedError(
            f"{said}: no usable credentials ({type(error).__name__})", hint=_DENIED_HINT
        )
    if isinstance(error, boto.ProxyConnectionError):
        return _broken(said, "the proxy does not let us through", seconds)
    if isinstance(error, _WRONG_SETTING):
        why = f": {error}" if isinstance(error, boto.ProfileNotFound) else ""
        return ConfigError(
            f"{said}: boto3 cannot be set up ({type(error).__name__}{why})",
            hint="look at [s3] in rv.toml, at RV_S3_* and AWS_* variables, and at ~/.aws/config",
        )
    if isinstance(error, boto.SSLError) and _is_untrusted(error):
        return StorageError(
            f"{said}: the server's certificate is not trusted",
            hint="name the file of certificates to trust: [s3] ca_bundle",
        )
    if isinstance(error, boto.ConnectTimeoutError):
        return _broken(said, "no connection in time", seconds)
    if isinstance(error, boto.ReadTimeoutError | urllib3.exceptions.ReadTimeoutError):
        return _broken(said, "the server fell silent", min(seconds, longest_silence))
    if isinstance(error, boto.EndpointConnectionError):
        return _broken(said, "the server cannot be reached", seconds)
    if isinstance(error, boto.FlexibleChecksumError):
        return IntegrityError(f"{said}: what arrived has another checksum than promised")
    if isinstance(error, boto.ParamValidationError):
        return StorageError(f"{said}: this cannot be the name of a bucket or a key")
    if isinstance(error, _TRANSIENT):
        if any(isinstance(cause, TimeoutError) for cause in _causes(error)):
            silence = min(seconds, longest_silence)
            return _broken(said, "the server takes nothing any more", silence)
        return _broken(said, "the connection broke", 0.0)
    return StorageError(f"{said}: {type(error).__name__}")


_TRANSIENT: Final = (
    boto.HTTPClientError,
    boto.IncompleteReadError,
    boto.ResponseStreamingError,
    ResponseParserError,
    urllib3.exceptions.HTTPError,
    OSError,
)


def _broken(said: str, why: str, seconds: float) -> TransferError:
    return TransferError(
        f"{said}: {why}", hint="check the address and the network, then try again", stalled=seconds
    )


def _precondition(code: str, action: str, shown: str) -> StorageError:
    if action == "read":
        return ChangedError(f"{shown} was replaced while it was being read", hint="try again")
    if code == "ConditionalRequestConflict":
        return ConflictError(
            f"cannot create {shown}: somebody else is writing or deleting it", hint="try again"
        )
    return AlreadyExistsError(f"cannot create {shown}: it exists already")


def _elsewhere(
    error: boto.ClientError, headers: Mapping[str, str], action: str, shown: str
) -> StorageError:
    region = headers.get("x-amz-bucket-region") or error.response.get("Error", {}).get("Region")
    where = f"the region {region}" if region else "another place than the one that was asked"
    return StorageError(
        f"cannot {action} {shown}: its bucket is in {where}",
        hint=f'set [s3] region = "{region}"' if region else "set [s3] region or endpoint_url",
    )


def _old_server(action: str) -> str | None:
    return "older servers may need [s3] checksums = false" if action == "write" else None


def _code_of(error: boto.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status_of(error: boto.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _may_pass(status: int) -> bool:
    return status in _MAY_PASS_STATUS or (status >= 500 and status not in _STAYS_STATUS)


def _is_untrusted(error: boto.SSLError) -> bool:
    kinds = (ssl.SSLCertVerificationError, ssl.CertificateError)
    return any(isinstance(cause, kinds) for cause in _causes(error))


def _causes(error: object) -> Iterator[object]:
    """The errors that an error of botocore was made of, outermost first."""
    inner = [getattr(error, "kwargs", {}).get("error"), *getattr(error, "args", ())]
    for cause in inner:
        if isinstance(cause, Exception):
            yield cause
            yield from _causes(cause)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from either of the two forms of the header."""
    value = headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None

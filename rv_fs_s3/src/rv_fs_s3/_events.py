"""What is changed about each request of boto3, and how its answer is read."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree

from botocore.awsrequest import AWSResponse

from rv_core import TransferError
from rv_fs_s3._bodies import Body
from rv_fs_s3._connections import POOLS
from rv_fs_s3._times import time_of

if TYPE_CHECKING:
    from rv_fs_s3._settings import S3Settings
    from rv_fs_s3._turn import Turn

SMALL_BODY: Final = 1 << 20
"""Up to here it takes longer to ask for leave to send a body than to send it in vain."""
_READ_BYTES: Final = 1 << 16
_ANSWER_SECONDS: Final = 10.0
_MIN_BYTES_PER_SECOND: Final = 1024
_AT_WORK_SECONDS: Final = 600.0
_DOTS: Final = re.compile(r"(?<=/)\.\.?(?=/|\Z)")


def register(client: Any, settings: S3Settings, turn: Turn) -> None:
    """Have a client of boto3 do what follows. ``turn``: is held by whoever calls the client, and
    given up as long as the network is waited for."""
    events = client.meta.events
    # The only way to the client's connections. Bodies are read by us, which see how fast they come.
    http = client._endpoint.http_session
    http._pool_classes_by_scheme.update(POOLS)
    events.register("before-send.s3", lambda request, **_: _send(turn, http, request))
    events.register("before-call.s3.DeleteObjects", _add_md5)
    events.register_first("before-parse.s3.ListObjectsV2", _read_contents)
    # Where botocore's own handler is that asks for leave: those of one operation come before it.
    events.register_last("before-call.s3", _expect_nothing_of_small_bodies)
    if settings.requester_pays:
        events.register("before-call.s3", _pay)


def _pay(params: Mapping[str, Any], **_: Any) -> None:
    params["headers"]["x-amz-request-payer"] = "requester"


def _expect_nothing_of_small_bodies(params: Mapping[str, Any], **_: Any) -> None:
    body = params.get("body")
    if isinstance(body, Body) and len(body) <= SMALL_BODY:
        params["headers"].pop("Expect", None)


def _send(turn: Turn, http: Any, request: Any) -> Any:
    """Send a request; of the answer, read all that is not the content of an object.

    botocore would read it without looking at how fast it comes and whether all of it did.
    """
    if isinstance(request.body, Body):
        request.body.begin()
    content = request.stream_output
    request.stream_output = True
    path, mark, query = request.url.partition("?")
    if _DOTS.search(path) and http._proxy_config.proxy_url_for(request.url):
        # urllib3 makes another path of such a one where it gives a proxy the whole URL.
        request.url = _DOTS.sub(lambda dots: dots[0].replace(".", "%2E"), path) + mark + query
    with turn.lent():
        response = http.send(request)
        response.headers = response.raw.headers  # which answer faster than botocore's own
        if content and response.status_code < 300:
            return response
        raw = response.raw
        try:
            bodyless = request.method == "HEAD" or response.status_code in (204, 304)
            body = b"" if bodyless else _read_all(raw)
            raw.release_conn()
        except BaseException:
            raw.close()
            raise
    return AWSResponse(response.url, response.status_code, response.headers, _Whole(body))


def _read_all(raw: Any) -> bytes:
    """Raises `TransferError` for an answer that comes too slowly, or not to its end.

    White space is sent by a server that is at work on what was asked, and may be for minutes:
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
    """
    length = raw.headers.get("Content-Length", "")
    pieces: list[bytes] = []
    spent = at_work = 0.0
    count = 0
    while True:
        asked = time.monotonic()
        piece = raw.read1(_READ_BYTES)
        seconds = time.monotonic() - asked
        if not piece:
            break
        if not piece.strip():
            at_work += seconds
        elif pieces:  # for the first one, the read timeout is enough
            spent += seconds
        pieces.append(piece)
        count += len(piece)
        if spent > _ANSWER_SECONDS + count / _MIN_BYTES_PER_SECOND or at_work > _AT_WORK_SECONDS:
            raise TransferError(
                f"the server's answer stalled: {count} bytes in {spent + at_work:.0f} s",
                hint="the network or the server is overloaded: try again later",
                stalled=spent + at_work,
            )
    body = b"".join(pieces)
    if length.isdecimal() and len(body) != int(length):
        raise TransferError(
            f"the server's answer ended after {len(body)} of {length} bytes",
            hint="the connection broke: try again",
        )
    return body


def _read_contents(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    """Read the entries of a listing, for which botocore takes three times as long."""
    try:
        root = ElementTree.fromstring(response_dict["body"])  # noqa: S314  as botocore does
    except ElementTree.ParseError:
        return  # botocore says what is wrong with it
    namespace = root.tag[: root.tag.rfind("}") + 1]
    found, others = [], []
    for child in root:
        if child.tag != f"{namespace}Contents":
            others.append(child)
            continue
        told = {part.tag[len(namespace) :]: part.text or "" for part in child}
        if not {"Key", "Size"} <= told.keys():
            return
        entry: dict[str, Any] = {"Key": told["Key"], "Size": int(told["Size"])}
        entry["LastModified"] = time_of(told.get("LastModified", ""))
        entry["ETag"] = told.get("ETag")
        found.append(entry)
    if found:
        root[:] = others
        response_dict["body"] = ElementTree.tostring(root)
        customized_response_dict["Contents"] = found


class _Whole:
    """A body that was read, as `AWSResponse` wants it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: Any, **__: Any) -> list[bytes]:
        return [self._body]


def _add_md5(params: Mapping[str, Any], **_: Any) -> None:
    """The MD5 of a request beside its CRC, for servers that insist on it."""
    body = params["body"]
    if "--x-s3" not in params["url"]:  # a directory bucket, which does not know it
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()

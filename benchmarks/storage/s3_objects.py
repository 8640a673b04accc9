"""The objects of the benchmarks' S3 server, and its answers to one request after another.

What a client of S3 needs to move objects: GET with ranges and conditions, HEAD, PUT, parts, lists,
deletes, and the checksums that were sent along. Signatures are not looked at. Small objects are
kept in memory, large ones in files; an object of several parts stays in its parts' files.
"""

from __future__ import annotations

import bisect
import itertools
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

IN_MEMORY_BYTES = 64 * 1024
XML = {"Content-Type": "application/xml"}
HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n'

Piece = bytes | tuple[Path, int, int]  # or a file, an offset, a count
Answer = tuple[int, dict[str, str], list[Piece], int]  # status, headers, body, length to announce


class Stored:
    """An object: its pieces, in order, and what is told of it."""

    __slots__ = ("etag", "given", "pieces", "size", "when")
    numbers = itertools.count(1)

    def __init__(self, pieces: list[tuple[bytes | Path, int]], given: dict[str, str]) -> None:
        self.pieces, self.given = pieces, given
        self.size = sum(size for _, size in pieces)
        suffix = f"-{len(pieces)}" if len(pieces) > 1 else ""
        self.etag = f'"{next(self.numbers):032x}{suffix}"'
        self.when = int(time.time())

    def cut(self, start: int, stop: int) -> list[Piece]:
        found: list[Piece] = []
        at = 0
        for data, size in self.pieces:
            low, high = max(start - at, 0), min(stop - at, size)
            if low < high:
                whole = isinstance(data, bytes)
                found.append(data[low:high] if whole else (data, low, high - low))
            at += size
        return found

    def forget(self) -> None:
        for data, _ in self.pieces:
            if isinstance(data, Path):
                data.unlink(missing_ok=True)


class Bucket:
    """All buckets are one: the first part of a path is only looked at where it is all there is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects: dict[str, Stored] = {}
        self.keys: list[str] = []
        self.uploads: dict[str, tuple[str, dict[str, str], dict[int, Stored]]] = {}
        self.files = itertools.count()

    def new_file(self) -> Path:
        return self.folder / f"{next(self.files):08d}"

    def keep(self, key: str, stored: Stored) -> None:
        old = self.objects.get(key)
        if old is None:
            bisect.insort(self.keys, key)
        else:
            old.forget()
            stored.when = max(stored.when, old.when + 1)  # versions differ in time as well
        self.objects[key] = stored

    def drop(self, key: str) -> None:
        if old := self.objects.pop(key, None):
            del self.keys[bisect.bisect_left(self.keys, key)]
            old.forget()

    def below(self, prefix: str) -> Iterator[str]:
        for at in range(bisect.bisect_left(self.keys, prefix), len(self.keys)):
            if not self.keys[at].startswith(prefix):
                return
            yield self.keys[at]

    def answer(
        self, method: str, target: str, headers: dict[str, str], body: tuple[bytes | Path, int]
    ) -> Answer:
        path, _, query_text = target.partition("?")
        query = parse_qs(query_text, keep_blank_values=True) if query_text else {}
        key = unquote(path).lstrip("/").partition("/")[2]
        if method in ("GET", "HEAD"):
            if key:
                return self.get(key, headers, method == "HEAD")
            if "location" in query or method == "HEAD":
                return xml(b"<LocationConstraint/>")
            return self.list(query)
        if method == "PUT":
            if "uploadId" in query:
                return self.put_part(query, headers, body)
            if not key:
                return 200, {}, [], 0
            stored = Stored([body], checksums(headers))
            self.keep(key, stored)
            return 200, {"ETag": stored.etag, **stored.given}, [], 0
        if method == "POST":
            if "uploads" in query:
                return self.start_parts(key, headers)
            if "uploadId" in query:
                return self.join_parts(key, query, body)
            if "delete" in query:
                return self.delete_many(read(body))
        if method == "DELETE":
            if "uploadId" in query:
                for part in self.uploads.pop(query["uploadId"][0])[2].values():
                    part.forget()
            elif "clear" in query:
                for name in list(self.below(query["clear"][0])):
                    self.drop(name)
            else:
                self.drop(key)
            return 204, {}, [], 0
        return error(501, "NotImplemented", target)

    def get(self, key: str, headers: dict[str, str], head: bool) -> Answer:
        stored = self.objects.get(key)
        if stored is None:
            return error(404, "NoSuchKey", key)
        if headers.get("if-match", stored.etag) not in (stored.etag, "*"):
            return error(412, "PreconditionFailed", key)
        if headers.get("if-none-match") == stored.etag:
            return 304, {"ETag": stored.etag}, [], 0
        found = {
            "Content-Type": "application/octet-stream",
            "Accept-Ranges": "bytes",
            "ETag": stored.etag,
            "Last-Modified": formatdate(stored.when, usegmt=True),
        }
        start, stop, status = 0, stored.size, 200
        if wanted := headers.get("range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            if first:
                start, stop = int(first), min(int(last) + 1 if last else stop, stop)
            else:
                start = max(0, stop - int(last))
            if start >= stop:
                return error(416, "InvalidRange", key)
            status = 206
            found["Content-Range"] = f"bytes {start}-{stop - 1}/{stored.size}"
        elif stored.given and headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
            found |= {**stored.given, "x-amz-checksum-type": "FULL_OBJECT"}
        return status, found, [] if head else stored.cut(start, stop), stop - start

    def list(self, query: dict[str, list[str]]) -> Answer:
        def ask(name: str, default: str = "") -> str:
            return query.get(name, [default])[0]

        prefix, delimiter, most = ask("prefix"), ask("delimiter"), int(ask("max-keys", "1000"))
        after = ask("continuation-token") or ask("start-after") or ask("marker")
        show = quote if ask("encoding-type") == "url" else escape
        found: list[str] = []
        folders: dict[str, None] = {}
        last, more = "", False
        at = bisect.bisect_right(self.keys, after) if after else 0
        at = max(at, bisect.bisect_left(self.keys, prefix))
        for key in itertools.islice(self.keys, at, None):
            if not key.startswith(prefix):
                break
            folder = ""
            if delimiter and (end := key.find(delimiter, len(prefix))) >= 0:
                folder = key[: end + len(delimiter)]
                if folder in folders or after.startswith(folder):
                    last = key
                    continue
            if len(found) + len(folders) == most:
                more = True
                break
            last = key
            if folder:
                folders[folder] = None
                continue
            stored = self.objects[key]
            when = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(stored.when))
            found.append(
                f"<Contents><Key>{show(key)}</Key><LastModified>{when}</LastModified>"
                f"<ETag>{escape(stored.etag)}</ETag><Size>{stored.size}</Size>"
                "<StorageClass>STANDARD</StorageClass></Contents>"
            )
        said = [
            "<ListBucketResult><Name>bench</Name>",
            f"<Prefix>{show(prefix)}</Prefix><MaxKeys>{most}</MaxKeys>",
            f"<KeyCount>{len(found) + len(folders)}</KeyCount>",
            f"<IsTruncated>{str(more).lower()}</IsTruncated>",
        ]
        if show is quote:
            said.append("<EncodingType>url</EncodingType>")
        if more:
            said.append(f"<NextContinuationToken>{escape(last)}</NextContinuationToken>")
        said += found
        said += [f"<CommonPrefixes><Prefix>{show(f)}</Prefix></CommonPrefixes>" for f in folders]
        return xml(("".join(said) + "</ListBucketResult>").encode())

    def start_parts(self, key: str, headers: dict[str, str]) -> Answer:
        name = f"upload-{next(self.files)}"
        self.uploads[name] = (key, checksums(headers), {})
        return xml(
            f"<InitiateMultipartUploadResult><Bucket>bench</Bucket><Key>{escape(key)}</Key>"
            f"<UploadId>{name}</UploadId></InitiateMultipartUploadResult>".encode()
        )

    def put_part(
        self, query: dict[str, list[str]], headers: dict[str, str], body: tuple[bytes | Path, int]
    ) -> Answer:
        part = Stored([body], checksums(headers))
        parts = self.uploads[query["uploadId"][0]][2]
        number = int(query["partNumber"][0])
        if number in parts:
            parts[number].forget()
        parts[number] = part
        return 200, {"ETag": part.etag, **part.given}, [], 0

    def join_parts(
        self, key: str, query: dict[str, list[str]], body: tuple[bytes | Path, int]
    ) -> Answer:
        parts = self.uploads.pop(query["uploadId"][0])[2]
        tree = ElementTree.fromstring(read(body))
        named = [int(node.text or "0") for node in tree.iter() if node.tag.endswith("PartNumber")]
        stored = Stored([piece for number in named for piece in parts[number].pieces], {})
        self.keep(key, stored)
        return xml(
            "<CompleteMultipartUploadResult><Bucket>bench</Bucket>"
            f"<Key>{escape(key)}</Key><ETag>{escape(stored.etag)}</ETag>"
            "</CompleteMultipartUploadResult>".encode()
        )

    def delete_many(self, text: bytes) -> Answer:
        for node in ElementTree.fromstring(text).iter():
            if node.tag.endswith("Key"):
                self.drop(node.text or "")
        return xml(b"<DeleteResult/>")


def checksums(headers: dict[str, str]) -> dict[str, str]:
    wanted = {name: value for name, value in headers.items() if name.startswith("x-amz-checksum-")}
    wanted.pop("x-amz-checksum-algorithm", None)
    wanted.pop("x-amz-checksum-type", None)
    return wanted


def read(body: tuple[bytes | Path, int]) -> bytes:
    if isinstance(body[0], bytes):
        return body[0]
    data = body[0].read_bytes()
    body[0].unlink()
    return data


def xml(text: bytes) -> Answer:
    return 200, XML, [HEAD + text], len(HEAD) + len(text)


def error(status: int, code: str, what: str) -> Answer:
    text = HEAD + f"<Error><Code>{code}</Code><Message>{escape(what)}</Message></Error>".encode()
    return status, XML, [text], len(text)

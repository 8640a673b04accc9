"""Where the files of a raster are read: on this machine, in storage, or from the cache.

A remote file is copied to the cache where its storage has no way for GDAL
(`FileSystem.gdal_access`), where it is small, or where it cannot be read by window: what is no
GeoTIFF, or one of few large blocks. Any other is read where it lies, until the windows asked for
add up to `COPY_SHARE` of it; then it is copied after all. So a file never costs more than that
much on top of what copying it would have cost at once. ``RasterConfig.access`` overrules this.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
import rasterio
from rasterio.session import Session

from rv_core import AccessDeniedError, DataError, RVError, StorageError, without_secrets
from rv_pipeline.rasters._files import changed, header_of, open_dataset, read_header
from rv_pipeline.rasters._gdal import gdal_session
from rv_pipeline.rasters._quiet_logs import quiet

if TYPE_CHECKING:
    from pathlib import Path

    from rasterio.io import DatasetReader

    from rv_core import FileInfo, GdalAccess, Kernel, KernelSpec
    from rv_pipeline.rasters._files import RasterFile
    from rv_pipeline.rasters.config import RasterConfig

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

SMALL_BYTES: Final = 8 << 20
"""A file of at most this size is copied: its windows would take as many requests as its parts."""
COPY_SHARE: Final = 0.25
"""When the windows read are this share of the file's pixels, it is copied."""
BLOCK_SHARE: Final = 1 / 16
"""A file whose blocks are larger than this share of it is not read by window."""

_RENEW_SECONDS: Final = 300.0  # before credentials end
_RENEW_AGAIN_SECONDS: Final = 60.0
_SHORTEST_SECRET: Final = 8
_OPTIONS: Final[dict[str, str]] = {
    # Another thread's credentials and headers are not for this file: on the main thread, GDAL's
    # settings are those of the whole process.
    "GDAL_HTTP_HEADERS": "",
    "GDAL_HTTP_HEADER_FILE": "",
    "AWS_REQUEST_PAYER": "",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # as of a copy, nothing beside the file is read
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "GDAL_PAM_ENABLED": "NO",
}
_SELF_CONTAINED: Final = ("GTiff", "COG", "PNG", "JPEG", "JP2OpenJPEG", "WEBP")
"""Formats that never name other files."""
_URL: Final = re.compile(r"(?:/vsi\w+/|https?://|s3://)[^\s'\"`]+")

_network_pid: int | None = None  # of the process in which GDAL has connections


class _Secrets(Session):  # type: ignore[misc]  # rasterio has no types for it
    """Options that rasterio hands to GDAL without a look at them: it wants credentials of AWS to
    come from boto3 otherwise, which is the storage's affair."""

    def __init__(self, options: dict[str, str]) -> None:
        self._options = options

    @classmethod
    def hascreds(cls, config: Any) -> bool:
        return True

    def get_credential_options(self) -> dict[str, str]:
        return self._options


def locate(uri: str, kernel: Kernel, config: RasterConfig) -> RasterFile:
    """The header of a file, and the way to its pixels.

    Raises the storage's errors (`NotFoundError`, `AccessDeniedError`, ...), and those of
    `read_header`.
    """
    fs = kernel.filesystem(uri)
    shown = without_secrets(uri)
    if not fs.is_local and config.access != "copy":
        remote = _in_place(uri, shown, kernel, config.access)
        if remote is not None:
            header = _header_in_place(remote, shown, config)
            if header is not None:
                return header
    path = fs.local_path(uri)
    if not fs.is_local and _is_text(path):
        _check_any_file_may_be_read(shown, kernel)
    return read_header(shown, str(path), config.nodata)


def _is_text(path: Path) -> bool:
    """Whether a file is XML or JSON, as are VRT and other formats whose pixels are elsewhere."""
    with path.open("rb") as stream:
        return stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"<", b"{")


def _check_any_file_may_be_read(shown: str, kernel: Kernel) -> None:
    """What comes from storage may name files that GDAL then reads past the kernel: so it is read
    only where the kernel's hooks let this machine's files be read."""
    try:
        kernel.filesystem("/")
    except RVError as refusal:
        raise AccessDeniedError(
            f"the raster {shown} names other files, and those of this machine may not be read: "
            f"{refusal.message}",
            hint="give files that hold their pixels, such as GeoTIFF",
        ) from refusal


def _in_place(uri: str, shown: str, kernel: Kernel, access: str) -> RemoteFile | None:
    """The file where it lies; ``None`` where a copy is to be read."""
    version = kernel.filesystem(uri).info(uri)
    may_copy = access == "auto"
    if may_copy and (version.size is None or version.size <= SMALL_BYTES):
        return None
    if may_copy and kernel.cache.holds(uri, version):
        return None
    if _network_pid not in (None, os.getpid()):
        return None  # a forked process must not go on with its parent's connections
    remote = RemoteFile(uri, kernel, version, may_copy=may_copy)
    if remote.access() is None:
        if not may_copy:
            logger.warning(
                "%s is copied: GDAL has no way of its own to this storage, or to this file", shown
            )
        return None
    return remote


def _header_in_place(remote: RemoteFile, shown: str, config: RasterConfig) -> RasterFile | None:
    try:
        dataset = remote.open()
        keep = False
        try:
            if remote.may_copy and not _has_windows(dataset):
                return None
            if dataset.driver not in _SELF_CONTAINED:
                _check_any_file_may_be_read(shown, remote.kernel)
            header = header_of(dataset, shown, config.nodata)
            keep = True
        finally:
            remote.leave(dataset, keep=keep)
    except DataError:
        if not remote.may_copy:
            raise
        logger.info("%s is copied: GDAL cannot read it where it lies", shown)
        return None
    logger.info("%s is read where it lies, window by window", shown)
    return attrs.evolve(header, remote=remote)


def _has_windows(dataset: DatasetReader) -> bool:
    rows, cols = dataset.block_shapes[0]
    return (
        dataset.driver in ("GTiff", "COG")
        and rows * cols <= BLOCK_SHARE * dataset.width * dataset.height
    )


class RemoteFile:
    """One version of a file in storage, read there by GDAL until it is copied.

    May be used from several threads; pickled, it takes the kernel's spec along, and no secret.
    ``turn`` is another one whenever datasets that are open have to be opened anew.
    """

    def __init__(
        self,
        uri: str,
        kernel: Kernel,
        version: FileInfo,
        *,
        may_copy: bool,
        path: str | None = None,
    ) -> None:
        self.may_copy = may_copy
        self.turn = 0
        self._uri = uri
        self.kernel = kernel
        self._version = version
        self._path = path  # of the copy
        self._share = 0.0  # of the file's pixels that were read
        self._access: GdalAccess | None = None
        self._renewed = 0.0
        self._spare: tuple[int, int, DatasetReader] | None = None

    def access(self) -> GdalAccess | None:
        """GDAL's way to the file, renewed before its credentials end."""
        known = self._access
        now = time.time()
        if known is not None:
            ends = known.expires.timestamp() if known.expires is not None else None
            due = ends is not None and ends - now < _RENEW_SECONDS
            if not due or now - self._renewed < _RENEW_AGAIN_SECONDS:
                return known
        fs = self.kernel.filesystem(self._uri)  # each time: it may have been forbidden since
        self._access = fs.gdal_access(self._uri, self._version)
        self._renewed = now
        if known is not None:
            self.turn += 1
        return self._access

    def open(self) -> DatasetReader:
        """The file, open for reading; raises `DataError`, and what the storage says of a file that
        is there no more."""
        spare = self._spare
        if spare is not None and spare[:2] == (os.getpid(), threading.get_ident()):
            self._spare = None
            return spare[2]
        if self._path is not None:
            return open_dataset(without_secrets(self._uri), self._path)
        with self._session() as access:
            try:
                return open_dataset(without_secrets(self._uri), access.path)
            except DataError as error:
                failure = self._failure(error)
        raise failure

    def leave(self, dataset: DatasetReader, *, keep: bool) -> None:
        """Close a dataset that `open` gave, or keep it for the next call on this thread."""
        if keep:
            self._spare = (os.getpid(), threading.get_ident(), dataset)
        else:
            with quiet():
                dataset.close()

    def close(self) -> None:
        """Close what was kept."""
        spare, self._spare = self._spare, None
        if spare is not None and spare[0] == os.getpid():
            self.leave(spare[2], keep=False)

    def read(self, do: Callable[[], _T], share: float) -> _T:
        """What ``do()`` returns, which reads ``share`` of the pixels of what `open` gave.

        Raises `DataError` where the file is another one by now.
        """
        if self._path is None and self.may_copy and self._share + share > COPY_SHARE:
            self._copy()
        if self._path is None:
            self._share += share
            try:
                with self._session():
                    return do()
            except DataError as error:
                failure = self._failure(error)
            if not self.may_copy or not isinstance(failure, DataError):
                raise failure
            if self._is_changed():
                raise failure
            self._copy()  # which tells a network that fails from a file that is damaged
        return do()

    def shown(self, message: str) -> str:
        """What GDAL says, without the file's address and secrets."""
        name = without_secrets(self._uri)
        if self._path is not None:
            message = message.replace(self._path, name)
        access = self._access
        if access is not None:
            message = message.replace(access.path, name)
            for value in access.options.values():
                if len(value) >= _SHORTEST_SECRET:
                    message = message.replace(value, "***")
        return _URL.sub(name, message)

    def _copy(self) -> None:
        name = without_secrets(self._uri)
        if self._is_changed():
            raise changed(name)
        path = str(self.kernel.files.local_path(self._uri))
        if self._version.size not in (None, os.stat(path).st_size) or self._is_changed():  # noqa: PTH116
            raise changed(name)
        logger.info("%s is read from the cache from here on", name)
        self._path = path
        self.turn += 1

    def _is_changed(self) -> bool:
        """Whether the storage has another version now. Raises the storage's errors."""
        from rv_core import same_version

        now = self.kernel.files.info(self._uri)
        return not same_version(now, self._version)

    def _failure(self, error: DataError) -> RVError:
        """What is to be raised for what GDAL said: the storage's own words where it refuses."""
        try:
            if self._is_changed():
                return changed(without_secrets(self._uri))
        except StorageError as refusal:
            return refusal
        return DataError(self.shown(error.message), hint=error.hint)

    @contextmanager
    def _session(self) -> Iterator[GdalAccess]:
        """GDAL's settings for this file, on this thread."""
        global _network_pid  # noqa: PLW0603  # there is one GDAL in a process
        access = self.access()
        if access is None:
            raise DataError(
                f"cannot read the raster {without_secrets(self._uri)} where it lies any more",
                hint="set access to 'copy'",
            )
        if _network_pid is None:
            _network_pid = os.getpid()
        options = {**_OPTIONS, "CPL_VSIL_CURL_NON_CACHED": access.path, **access.options}
        with quiet(), gdal_session(), rasterio.Env(session=_Secrets(options)):
            yield access

    def __reduce__(self) -> tuple[Any, ...]:
        spec = self.kernel.spec()
        return _rebuilt, (self._uri, spec, self._version, self.may_copy, self._path)

    def __repr__(self) -> str:
        return f"<RemoteFile {without_secrets(self._uri)}>"


def _rebuilt(
    uri: str, spec: KernelSpec, version: FileInfo, may_copy: bool, path: str | None
) -> RemoteFile:
    from rv_core import Kernel

    return RemoteFile(uri, Kernel.from_spec(spec), version, may_copy=may_copy, path=path)

"""What fsspec's implementations can do: which are served, and how each reads and publishes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import metadata
from typing import Any, Final, Literal

import attrs
from fsspec import AbstractFileSystem, get_filesystem_class
from fsspec.registry import known_implementations, registry

from rv_core import PluginDependencyError
from rv_fs_fsspec._ways import Ways

ARCHIVES: Final = frozenset({"libarchive", "tar", "zip"})

# Other ways to this machine's own files, which would get around a policy on file:, and layers
# that are no storage of their own.
_LOCAL: Final = frozenset({"asynclocal", "file", "git", "local"})
_LAYERS: Final = frozenset(
    {
        "async_wrapper",
        "asyncwrapper",
        "blockcache",
        "cached",
        "data",
        "dir",
        "filecache",
        "generic",
        "reference",
        "rv",
        "simplecache",
    }
)
# Where RV has a package of its own for the scheme.
_OWN: Final = {"http": "rv-fs-http", "https": "rv-fs-http", "s3": "rv-fs-s3"}
_TIMEOUT: Final = 10  # seconds


# Python's URLs lose these (https://docs.python.org/3/library/urllib.parse.html, urlsplit), and
# with them the implementations that speak HTTP.
_LOST: Final = r"[\t\r\n]"
# What careless ones take for parts of a URL, or decode once more than they encoded.
_URL: Final = rf"[#?;]|%[0-9A-Fa-f]{{2}}|{_LOST}"
# Where names are paths, these lead to the file of another name.
_STEPS: Final = r"//|(?<=/)\.\.?(?=/|\Z)"


@attrs.frozen
class Traits:
    """How the files of an implementation are read and written.

    ``publish``: ``"put"`` where a file appears whole when its upload is done; ``"pipe"`` where
    only bytes given at once do; ``"rename"`` where it is uploaded under a hidden name beside the
    final one and then moved. ``replaces``: whether moving onto an old file replaces it at once;
    elsewhere that one is removed first. ``creates``: whether ``put_file(mode="create")`` leaves
    it to the server that there is no old file. ``acknowledges``: whether an upload that ends
    without an error is sure to be whole; elsewhere its size is looked at.

    ``read``: ``"ranges"`` by requests of byte ranges; ``"stream"`` by a file that stays open;
    ``"fetch"`` where neither goes well, so that the file is copied first.

    ``shared``: whether one instance serves all threads. ``options``: what the constructor gets
    below the settings. ``at_once``: transfers at the same time, where each has a connection of
    its own. ``refused``: what in a name the implementation takes for something else.
    """

    writable: bool = True
    publish: Literal["put", "pipe", "rename"] = "put"
    replaces: bool = True
    creates: bool = False
    acknowledges: bool = False
    read: Literal["ranges", "stream", "fetch"] = "stream"
    shared: bool = False
    options: Mapping[str, Any] = attrs.field(factory=dict)
    at_once: int = 16
    refused: re.Pattern[str] | None = re.compile(_URL)


_BUCKETS: Final = Traits(
    creates=True, acknowledges=True, read="ranges", shared=True, refused=re.compile(_LOST)
)
# Google tells a checksum of what arrived, which gcsfs looks at if it is asked to.
_GOOGLE: Final = attrs.evolve(_BUCKETS, options={"consistency": "md5"})
_S3: Final = attrs.evolve(_BUCKETS, refused=re.compile(rf"\?versionId=|{_LOST}"))
_AZURE: Final = attrs.evolve(_BUCKETS, refused=re.compile(rf"\?versionid=|{_LOST}"))
_SSH: Final = Traits(
    publish="rename",
    options={"timeout": 5, "banner_timeout": _TIMEOUT, "auth_timeout": _TIMEOUT},
    at_once=4,  # servers admit some ten connections at a time (sshd's MaxStartups)
    refused=re.compile(_STEPS),
)
_RENAMED: Final = Traits(publish="rename", replaces=False, refused=re.compile(_STEPS))
_OVER_HTTP: Final = Traits(publish="rename", refused=re.compile(f"{_STEPS}|{_URL}"))
_READ_ONLY: Final = Traits(writable=False)
_WEB: Final = Traits(writable=False, shared=True, refused=re.compile(_LOST))
_ARCHIVE: Final = Traits(writable=False, refused=None)

_KNOWN: Final[Mapping[str, Traits]] = {
    "abfs": _AZURE,
    "az": _AZURE,
    "arrow_hdfs": _RENAMED,
    "dbfs": attrs.evolve(_OVER_HTTP, replaces=False, read="ranges"),
    "dvc": _READ_ONLY,
    "ftp": Traits(
        publish="rename",
        read="fetch",
        options={"timeout": _TIMEOUT},
        at_once=2,
        # A command ends with its line, and servers trim it.
        refused=re.compile(rf"\s\Z|[\r\n]|{_STEPS}"),
    ),
    "gcs": _GOOGLE,
    "gist": attrs.evolve(_READ_ONLY, read="fetch"),
    "github": attrs.evolve(_READ_ONLY, read="fetch"),
    "gs": _GOOGLE,
    "hdfs": _RENAMED,
    "http": _WEB,
    "https": _WEB,
    "jlab": attrs.evolve(_OVER_HTTP, replaces=False, read="fetch"),
    "jupyter": attrs.evolve(_OVER_HTTP, replaces=False, read="fetch"),
    "libarchive": _ARCHIVE,
    "memory": Traits(publish="pipe", read="ranges", shared=True, refused=None),
    "s3": _S3,
    "s3a": _S3,
    "sftp": _SSH,
    "smb": _RENAMED,
    "ssh": _SSH,
    "tar": _ARCHIVE,
    "webdav": attrs.evolve(_OVER_HTTP, replaces=False),
    "webhdfs": attrs.evolve(_OVER_HTTP, replaces=False, read="ranges"),
    "zip": _ARCHIVE,
}


def is_served(scheme: str) -> bool:
    """Whether fsspec knows the scheme as one of storage."""
    if scheme in _LOCAL or scheme in _LAYERS:
        return False
    return scheme in registry or scheme in known_implementations


def implementation(scheme: str) -> type[AbstractFileSystem]:
    """The class behind a scheme; raises `PluginDependencyError` where it is not installed."""
    try:
        return get_filesystem_class(scheme)  # type: ignore[no-any-return]
    except ImportError as error:
        told = known_implementations.get(scheme, {}).get("err") or "its package is not installed"
        raise PluginDependencyError(
            f"{scheme}:// needs a package that is not installed here: {told.rstrip('.')}",
            hint=_to_install(scheme, error.__cause__ or error),
            distribution="rv-fs-fsspec",
        ) from error


def traits_of(scheme: str, cls: type[AbstractFileSystem]) -> Traits:
    """What is known of an implementation; of others, what their classes show."""
    if scheme in _KNOWN:
        return _KNOWN[scheme]
    if cls.async_impl:
        return Traits(read="ranges", shared=True)
    if cls.mv is not AbstractFileSystem.mv:
        return attrs.evolve(_OVER_HTTP, replaces=False)
    return Traits()


def ways_of(scheme: str) -> Ways:
    """How an implementation that can be imported moves single files."""
    if scheme in ("sftp", "ssh"):
        from rv_fs_fsspec._sftp import SftpWays

        return SftpWays()
    if traits_of(scheme, get_filesystem_class(scheme)).acknowledges:
        from rv_fs_fsspec._buckets import BucketWays

        return BucketWays(scheme)
    if scheme == "ftp":
        from rv_fs_fsspec._ftp import FtpWays

        return FtpWays()
    return Ways()


def aliases(cls: type[AbstractFileSystem]) -> tuple[str, ...]:
    """All schemes of an implementation."""
    protocol = cls.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _to_install(scheme: str, error: BaseException) -> str:
    if scheme in _OWN:
        return f"python -m pip install {_OWN[scheme]}"
    extras = metadata.metadata("fsspec").get_all("Provides-Extra") or []
    if scheme in extras:
        return f'python -m pip install "fsspec[{scheme}]"'
    named = getattr(error, "name", None) or known_implementations[scheme]["class"]
    return f"python -m pip install {named.partition('.')[0].replace('_', '-')}"

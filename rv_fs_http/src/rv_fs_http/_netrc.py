"""The user's netrc file, read anew when it has changed."""

from __future__ import annotations

import logging
import os
from netrc import NetrcParseError, netrc

logger = logging.getLogger(__name__)

_Version = tuple[str, int, int]


class Netrc:
    """The logins of a netrc file: ``NETRC``, else ``~/.netrc``, on Windows ``~/_netrc`` too. One
    that cannot be read is left aside, and logged once; what it holds is not."""

    def __init__(self) -> None:
        names = ("~/.netrc", "~/_netrc") if os.name == "nt" else ("~/.netrc",)
        self._usual = [os.path.expanduser(name) for name in names]  # noqa: PTH111
        self._read: tuple[_Version, netrc | None] | None = None

    def login(self, host: str) -> tuple[str, str] | None:
        """User and password for a host. The file's ``default`` entry is for no host: it would be
        sent to every server there is."""
        file = self._file()
        # netrc keeps it under that name, which a host may have as well.
        entry = file.hosts.get(host) if file is not None and host != "default" else None
        return None if entry is None else (entry[0], entry[2] or "")

    def _file(self) -> netrc | None:
        named = os.environ.get("NETRC")
        for path in (os.path.expanduser(named),) if named else self._usual:  # noqa: PTH111
            try:
                # Not by pathlib, which takes ten times as long: this is done for every request.
                found = os.stat(path)  # noqa: PTH116
            except OSError:
                continue
            version = path, found.st_mtime_ns, found.st_size
            read = self._read
            if read is None or read[0] != version:
                self._read = read = version, _parsed(path)
            return read[1]
        return None


def _parsed(path: str) -> netrc | None:
    try:
        return netrc(path)
    except NetrcParseError as error:
        # Its message may quote a password.
        logger.warning("%s is left aside: line %s is not understood", path, error.lineno)
    except (OSError, UnicodeDecodeError) as error:
        logger.warning("%s is left aside: %s", path, type(error).__name__)
    return None

"""What fsspec's SFTP leaves to others: who the server is, how long to wait, forked processes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import paramiko
from fsspec import AbstractFileSystem
from fsspec.implementations.sftp import SFTPFileSystem

from rv_core import AccessDeniedError
from rv_fs_fsspec._ways import Reading, Watched, Ways

_SILENCE: Final = 10.0  # seconds until an answer is waited for no longer
_READ_AHEADS: Final = 4
_FIRST_WINDOW: Final = 1 << 18
_LAST_WINDOW: Final = 4 << 20
_logger: Final = logging.getLogger("paramiko.transport.rv")


class _Detail(logging.Filter):
    """Lets what paramiko says of a connection that fails, traceback and all, count as detail: it
    is tried again, or raised as an error."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno > logging.DEBUG:
            record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return _logger.isEnabledFor(logging.DEBUG)


_logger.addFilter(_Detail())


class KnownHosts(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
    """Lets in servers whose key is in a file of OpenSSH's ``known_hosts``, and no others; fsspec
    lets in whoever answers."""

    def __init__(self, file: str) -> None:
        self.file = Path(file).expanduser()

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        raise self.refusal(hostname, "no key")

    def refusal(self, hostname: str, found: str) -> AccessDeniedError:
        """The error for a server of which the file has this."""
        return AccessDeniedError(
            f"the SSH server {hostname} is not trusted: {self.file} has {found} of it",
            hint="connect to it once with ssh, or add its key with ssh-keyscan; "
            'host_key_policy = "auto_add" in [fsspec.sftp] trusts any server',
        )


class Sftp(SFTPFileSystem):  # type: ignore[misc]
    """Looks at who the server is, and makes one that falls silent an error."""

    def __init__(self, host: str, policy: paramiko.MissingHostKeyPolicy, **ssh: Any) -> None:
        self._policy = policy
        super().__init__(host, **ssh)

    def _connect(self) -> None:
        self.client = paramiko.SSHClient()
        self.client.set_log_channel(_logger.name)
        self.client.set_missing_host_key_policy(self._policy)
        if isinstance(self._policy, KnownHosts):
            with suppress(OSError):
                self.client.load_system_host_keys(str(self._policy.file))
        try:
            self.client.connect(self.host, **self.ssh_kwargs)
        except paramiko.BadHostKeyException:
            if isinstance(self._policy, KnownHosts):
                raise self._policy.refusal(self.host, "another key") from None
            raise
        self.ftp = self.client.open_sftp()
        self.ftp.get_channel().settimeout(_SILENCE)


class SftpWays(Ways):
    """By paramiko's own transfers, which have many requests on the way at a time."""

    def make(self, cls: type[AbstractFileSystem], given: dict[str, Any]) -> AbstractFileSystem:
        """Servers are known ones, unless ``host_key_policy`` says else; ``known_hosts`` names the
        file they are in."""
        file = given.pop("known_hosts", "~/.ssh/known_hosts")
        policy = given.pop("host_key_policy", None)
        known = {"auto_add": paramiko.AutoAddPolicy, "warning": paramiko.WarningPolicy}
        if isinstance(policy, str) and policy not in known:
            raise ValueError(f"host_key_policy is one of {', '.join(known)}, not {policy}")
        chosen = known[policy]() if isinstance(policy, str) else policy or KnownHosts(file)
        return super().make(Sftp, {**given, "policy": chosen})

    def abandon(self, instance: AbstractFileSystem) -> None:
        with suppress(Exception):
            transport = instance.client.get_transport()
            transport.active = False  # nothing more is sent
            transport.sock.close()  # this process's handle of it

    def open(self, instance: AbstractFileSystem, path: str) -> Reading:
        return _Windows(instance.ftp.open(path, "rb", bufsize=0))

    def told_of(self, file: Any) -> Mapping[str, Any] | None:
        return SFTPFileSystem._decode_stat(file.stat)  # type: ignore[no-any-return]

    def listing(self, instance: AbstractFileSystem, folder: str) -> Iterable[Mapping[str, Any]]:
        # fsspec asks fifty times at once, whatever the folder holds.
        for found in instance.ftp.listdir_iter(folder, read_aheads=_READ_AHEADS):
            yield SFTPFileSystem._decode_stat(found, folder or "/")

    def get(self, instance: AbstractFileSystem, path: str, local: str, watched: Watched) -> None:
        instance.ftp.get(path, local, callback=lambda done, _: watched.absolute_update(done))

    def put(
        self,
        instance: AbstractFileSystem,
        local: str,
        path: str,
        watched: Watched,
        *,
        new: bool = False,
    ) -> None:
        instance.ftp.put(local, path, callback=lambda done, _: watched.absolute_update(done))

    def move_to_new(self, instance: AbstractFileSystem, old: str, new: str) -> None:
        """By the protocol's own rename, which replaces nothing
        (draft-ietf-secsh-filexfer-02, 6.5)."""
        try:
            instance.ftp.rename(old, new)
        except OSError:
            if self.exists(instance, new):
                raise FileExistsError(new) from None
            raise


class _Windows:
    """A file read in growing windows, whose requests (32 KiB each) are on the way together."""

    def __init__(self, file: paramiko.SFTPFile) -> None:
        self._file: paramiko.SFTPFile | None = file
        self.stat = file.stat()
        self._size: int = self.stat.st_size
        self._pos = 0
        self._window = _FIRST_WINDOW
        self._ahead = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        if not self._ahead and self._pos < self._size:
            count = min(self._window, self._size - self._pos)
            self._window = min(_LAST_WINDOW, 2 * self._window)
            if self._file is None:
                raise ValueError("the file is closed")
            self._ahead = memoryview(next(self._file.readv([(self._pos, count)])))
        data = bytes(self._ahead[:size])
        self._ahead = self._ahead[size:]
        self._pos += len(data)
        return data

    def seek(self, offset: int, /) -> None:
        self._pos, self._ahead = offset, memoryview(b"")

    def close(self) -> None:
        # Forgotten, a file is closed without waiting for the answer, which may not come any more
        # where Python is ending.
        self._file = None

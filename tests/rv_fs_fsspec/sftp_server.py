"""An SFTP server on loopback: ``sftp_server.py FOLDER PASSWORD [PORT]``; says its port and key."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import asyncssh


class Server(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return password == sys.argv[2]


class Files(asyncssh.SFTPServer):
    def __init__(self, channel: asyncssh.SSHServerChannel) -> None:
        super().__init__(channel, chroot=sys.argv[1])

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        """As OpenSSH does it: by a hard link, which only one of several can make."""
        old, new = self.map_path(oldpath), self.map_path(newpath)
        try:
            os.link(old, new)
        except FileExistsError as error:
            raise asyncssh.SFTPFailure("it exists") from error
        Path(os.fsdecode(old)).unlink()


async def main() -> None:
    port = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    key = asyncssh.generate_private_key("ssh-ed25519")
    listening = await asyncssh.listen(
        "127.0.0.1", port, server_host_keys=[key], server_factory=Server, sftp_factory=Files
    )
    sys.stdout.write(f"{listening.get_port()}\n")
    sys.stdout.write(f"{key.export_public_key().decode().strip()}\n")
    sys.stdout.flush()
    await listening.wait_closed()


asyncio.run(main())

"""Tar archives whose names are those that their files have everywhere else."""

from __future__ import annotations

import re

from fsspec.implementations.tar import TarFileSystem


class Tar(TarFileSystem):  # type: ignore[misc]
    """``tar -C folder .`` calls its members ``./a``; here they are ``a``."""

    def _index(self) -> None:
        for member in self.tar:
            member.name = re.sub(r"\A(?:\./+)+", "", member.name)
        super()._index()
        for root in ("", "."):
            self.index.pop(root, None)

"""Which names a sync refuses: those that would leave the folder, or overwrite each other in it."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

Fold = Callable[[str], str]

_DEVICES: Final = re.compile(r"(CON|PRN|AUX|NUL|COM[0-9¹²³]|LPT[0-9¹²³]) *(\.|\Z)", re.IGNORECASE)


def why_never(name: str) -> str | None:
    """Why a name is taken to no place at all; ``None`` where it may be."""
    if "\0" in name:
        return "holds a NUL character"
    if any(part in (".", "..") for part in name.split("/")):
        return "would leave the folder"
    return None


def why_not_elsewhere(name: str) -> str | None:
    """Why a name cannot be that of a file in any storage but this machine's."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "is not valid text"
    return why_never(name)


def why_not_on_disk(name: str, *, windows: bool = os.name == "nt") -> str | None:
    """Why a name from elsewhere cannot be that of a file below a folder on this machine.

    A backslash separates folders on Windows, so that it is refused everywhere. ``windows``: also
    what that system would take for a drive, a device or another name.
    """
    from rv_core.local_files import is_part

    parts = name.split("/")
    if why := why_never(name):
        return why
    if "" in parts:
        return "would leave the folder" if parts[0] == "" else "has an empty part"
    if "\\" in name:
        return "would leave the folder on some systems"
    if any(map(is_part, parts)):
        return "is what unfinished files are called"
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return "is not valid text"
    if windows and any(":" in part or part[-1] in ". " or _DEVICES.match(part) for part in parts):
        return "means something else on this system"
    return None


class Links:
    """Tells names that lead through a symbolic link below ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._is_link: dict[str, bool] = {"": False}

    def on_the_way_to(self, name: str) -> bool:
        parent = name.rpartition("/")[0]
        if parent not in self._is_link:
            here = (self._root / parent).is_symlink()
            self._is_link[parent] = here or self.on_the_way_to(parent)
        return self._is_link[parent]


def fold(name: str) -> str:
    """A name without what any disk may disregard: case, and the spelling of accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def fold_of(folder: Path) -> Fold:
    """The same, as far as the disk of an existing folder disregards it."""
    from rv_core.local_files import failures, names_that_fold

    with failures("write", str(folder)):
        case, form = names_that_fold(str(folder))

    def folded(name: str) -> str:
        name = unicodedata.normalize("NFC", name) if form else name
        return name.casefold() if case else name

    return folded


def colliding(names: Iterable[str], folded: Fold = fold) -> dict[str, str]:
    """The names for which there is no room, with the name that takes it: of those that fold to
    one all but the first, and files that are called as a folder of others is."""
    first: dict[str, str] = {}
    found: dict[str, str] = {}
    folders: dict[str, str] = {}
    for name in sorted(names):
        key = folded(name)
        if key in first:
            found[name] = first[key]
        else:
            first[key] = name
        while (key := key.rpartition("/")[0]) and key not in folders:
            folders[key] = name
    for key, name in first.items():
        if key in folders:
            found[name] = folders[key]
    return found

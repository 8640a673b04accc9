"""New plugin packages, written from the files beside this one.

``common/`` is for every kind, ``<kind>/`` for one. Files end in ``.in``; ``$name`` and the other
words of `values_of` are filled in, in folder names too (``package``).
"""

from __future__ import annotations

import re
import shutil
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Final

from rv_core import AlreadyExistsError, ConfigError

KINDS: Final = ("filesystem", "backend", "model-defaults")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([-_.][A-Za-z0-9]+)*\Z")
_KEYS: Final = {
    "filesystem": (re.compile(r"[a-z][a-z0-9+.-]+\Z"), "a URI scheme such as 'mem'"),
    "backend": (re.compile(r"[A-Z][A-Z0-9_]*\Z"), "a key such as 'ACME_FOREST'"),
    "model-defaults": (
        re.compile(r"[A-Z][A-Z0-9_]*\Z"),
        "a backend such as 'KERAS_CLASSIFICATION'",
    ),
}
_REQUIREMENTS: Final = {
    "filesystem": ((), ()),
    "backend": (("attrs>=23.2", "numpy>=1.26"), ("rv-plugins>=0.1,<1",)),
    "model-defaults": ((), ()),
}
"""What a package of that kind needs beside rv-core, and what its tests do."""


def write_package(folder: Path, name: str, kind: str, key: str | None = None) -> Path:
    """Write a plugin package into a new folder below ``folder``; returns that folder.

    ``name``: of the distribution, such as ``acme-rv-mem``. ``key``: what it serves, a URI scheme
    or a backend; made from the name where it can be. Raises `ConfigError` for a name or key that
    is not usable, `AlreadyExistsError` where the folder is there.
    """
    values = values_of(name, kind, key)
    target = folder / name
    if target.exists():
        raise AlreadyExistsError(f"{target} exists already", hint="choose another name")
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        home = resources.files(__name__)
        for place in (home / "common", home / kind):
            _write(place, part, values)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def values_of(name: str, kind: str, key: str | None) -> dict[str, str]:
    """What the templates' words stand for."""
    if not _NAME.match(name):
        raise ConfigError(
            f"{name!r} is not the name of a distribution", hint="letters, digits and dashes"
        )
    words = re.split(r"[-_.]", name.lower())
    if key is None and kind != "model-defaults":
        key = words[-1] if kind == "filesystem" else "_".join(w for w in words if w != "rv").upper()
    pattern, wanted = _KEYS[kind]
    if key is None or not pattern.match(key):
        got = "" if key is None else f", got {key!r}"
        raise ConfigError(f"a {kind} package serves {wanted}{got}", hint="give it with --key")
    needed, for_tests = _REQUIREMENTS[kind]
    return {
        "name": "-".join(words),
        "package": "_".join(words),
        "key": key,
        "group": {"filesystem": "filesystems", "backend": "backends"}.get(kind, "model_defaults"),
        "class_name": "".join(word.capitalize() for word in words if word != "rv"),
        "requirements": _quoted("rv-core>=0.1,<1", *needed),
        "test_requirements": _quoted("pytest>=8.4", "rv-core[testing]>=0.1,<1", *for_tests),
    }


def _quoted(*requirements: str) -> str:
    return ", ".join(f'"{each}"' for each in requirements)


def _write(source: Traversable, target: Path, values: dict[str, str]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        name = values["package"] if entry.name == "package" else entry.name
        if entry.is_dir():
            _write(entry, target / name, values)
        elif name.endswith(".in"):
            text = Template(entry.read_text("utf-8")).substitute(values)
            (target / name.removesuffix(".in")).write_text(text, "utf-8")

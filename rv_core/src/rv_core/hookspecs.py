"""The hooks a plugin can implement, and the marks to do it with.

A module named by an entry point implements the hook of its kind (see `KINDS`) with `hookimpl`.
A plugin of group ``rv.hooks.v1`` may wrap any of them with ``hookimpl(wrapper=True)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import pluggy

if TYPE_CHECKING:
    from rv_core._backend import Backend
    from rv_core._filesystem import FileSystem, Mode
    from rv_core._kernel import Kernel

PROJECT: Final = "rv"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

CONTRACT_VERSIONS: Final[Mapping[str, int]] = {
    "filesystems": 1,
    "backends": 1,
    "model_defaults": 1,
    "commands": 1,
    "hooks": 1,
}
"""The plugin kinds this kernel knows, and the version of each contract that it speaks."""

FALLBACK_KEY: Final = "*"
"""The filesystem key of the plugin that is asked where no other claims a URI's scheme."""


@hookspec(firstresult=True)
def rv_filesystem(uri: str, mode: Mode, kernel: Kernel) -> FileSystem | None:
    """The FileSystem for a URI, or ``None`` where the URI is not this plugin's.

    Called for every URI that is used, so it should be cheap: return the same object for the same
    kernel. ``mode`` is ``"r"`` or ``"w"``. A wrapper may raise `AccessDeniedError` to deny a URI,
    or return another FileSystem around the one it got.
    """


@hookspec(firstresult=True)
def rv_backend(key: str, kernel: Kernel) -> type[Backend] | None:
    """The Backend class of a key, or ``None`` where the key is not this plugin's."""


@hookspec
def rv_model_defaults(backend: str, kernel: Kernel) -> Mapping[str, Mapping[str, Any]] | None:
    """Model-defaults entries for a backend: model key -> entry; ``None`` or empty for none.

    An entry that says ``"override": true`` may take the place of another distribution's.
    """

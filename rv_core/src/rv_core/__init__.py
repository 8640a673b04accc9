"""RV's kernel: contracts, and the discovery of the plugins that fulfil them.

``import rv_core as rv`` also gives the keys of everything installed as attributes:
``rv.SOME_BACKEND`` is the string ``"SOME_BACKEND"`` where a plugin serves that key, and an
AttributeError that says what to install where none does.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rv_core._kernel import Kernel

if TYPE_CHECKING:
    from rv_core._backend import Backend, Context, Model, TrainedModel
    from rv_core._backend_config import BackendConfig, TrainOptions
    from rv_core._chips import (
        MANIFEST_NAME,
        ChipManifest,
        ChipSample,
        ChipSpec,
        ChipWriter,
        ShardInfo,
        Window,
    )
    from rv_core._config import Config, Setting
    from rv_core._default import default_kernel
    from rv_core._discovery import KeyInfo, PluginInfo
    from rv_core._errors import (
        AccessDeniedError,
        AlreadyExistsError,
        ConfigError,
        DataError,
        IntegrityError,
        InterruptedRunError,
        ModelError,
        NotFoundError,
        NotWritableError,
        PluginConflictError,
        PluginContractError,
        PluginDependencyError,
        PluginDisabledError,
        PluginError,
        PluginIncompatibleError,
        PluginLoadError,
        RVError,
        StorageError,
        TransferError,
        UnknownKeyError,
    )
    from rv_core._files import Files
    from rv_core._filesystem import (
        FileInfo,
        FileSystem,
        ListedFile,
        Mode,
        OpenMode,
        copy_stream,
        same_version,
    )
    from rv_core._gdal_access import GdalAccess
    from rv_core._kernel import KernelSpec
    from rv_core._labels import (
        MAX_CLASSES,
        UNLABELLED,
        BoxLabels,
        ChipLabel,
        ClassInfo,
        ClassMap,
        Label,
        PixelLabels,
    )
    from rv_core._model_defaults import ModelDefaults, read_model_defaults_json
    from rv_core._options import Options
    from rv_core._progress import OnProgress, Progress, ignore_progress
    from rv_core._scheme import join, scheme_of, without_password, without_secrets
    from rv_core.hookspecs import hookimpl, hookspec

__version__ = "0.1.0"

__all__ = [
    "MANIFEST_NAME",
    "MAX_CLASSES",
    "UNLABELLED",
    "AccessDeniedError",
    "AlreadyExistsError",
    "Backend",
    "BackendConfig",
    "BoxLabels",
    "ChipLabel",
    "ChipManifest",
    "ChipSample",
    "ChipSpec",
    "ChipWriter",
    "ClassInfo",
    "ClassMap",
    "Config",
    "ConfigError",
    "Context",
    "DataError",
    "FileInfo",
    "FileSystem",
    "Files",
    "GdalAccess",
    "IntegrityError",
    "InterruptedRunError",
    "Kernel",
    "KernelSpec",
    "KeyInfo",
    "Label",
    "ListedFile",
    "Mode",
    "Model",
    "ModelDefaults",
    "ModelError",
    "NotFoundError",
    "NotWritableError",
    "OnProgress",
    "OpenMode",
    "Options",
    "PixelLabels",
    "PluginConflictError",
    "PluginContractError",
    "PluginDependencyError",
    "PluginDisabledError",
    "PluginError",
    "PluginIncompatibleError",
    "PluginInfo",
    "PluginLoadError",
    "Progress",
    "RVError",
    "Setting",
    "ShardInfo",
    "StorageError",
    "TrainOptions",
    "TrainedModel",
    "TransferError",
    "UnknownKeyError",
    "Window",
    "copy_stream",
    "default_kernel",
    "hookimpl",
    "hookspec",
    "ignore_progress",
    "join",
    "read_model_defaults_json",
    "same_version",
    "scheme_of",
    "without_password",
    "without_secrets",
]

# Where each name lives: a name is imported when it is first asked for, so that `import rv_core`
# costs no more than what making a kernel needs.
_HOMES = {
    "_backend": ("Backend", "Context", "Model", "TrainedModel"),
    "_backend_config": ("BackendConfig", "TrainOptions"),
    "_chips": (
        "ChipManifest", "ChipSample", "ChipSpec", "ChipWriter", "MANIFEST_NAME", "ShardInfo",
        "Window",
    ),
    "_config": ("Config", "Setting"),
    "_default": ("default_kernel",),
    "_discovery": ("KeyInfo", "PluginInfo"),
    "_errors": tuple(name for name in __all__ if name.endswith("Error")),
    "_files": ("Files",),
    "_filesystem": (
        "FileInfo", "FileSystem", "ListedFile", "Mode", "OpenMode", "copy_stream", "same_version",
    ),
    "_gdal_access": ("GdalAccess",),
    "_kernel": ("KernelSpec",),
    "_labels": (
        "BoxLabels", "ChipLabel", "ClassInfo", "ClassMap", "Label", "MAX_CLASSES", "PixelLabels",
        "UNLABELLED",
    ),
    "_model_defaults": ("ModelDefaults", "read_model_defaults_json"),
    "_options": ("Options",),
    "_progress": ("OnProgress", "Progress", "ignore_progress"),
    "_scheme": ("join", "scheme_of", "without_password", "without_secrets"),
    "hookspecs": ("hookimpl", "hookspec"),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_KEY = re.compile(r"[A-Z][A-Z0-9_]*\Z")


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        value = getattr(import_module(f"rv_core.{_HOME_OF[name]}"), name)
        globals()[name] = value
        return value
    if _KEY.match(name):
        from rv_core._default import installed_key

        return installed_key(name)
    raise AttributeError(f"module 'rv_core' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""What plugin authors test with: conformance suites, and a proxy that makes networks fail.

Needs the extra ``rv-core[testing]``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rv_core.testing._backend_contract import BackendContract
    from rv_core.testing._download_faults import DownloadFaults
    from rv_core.testing._faults import (
        AtMost,
        Before,
        Chunked,
        Drip,
        DripHead,
        DropHeaders,
        DropRequestHeaders,
        Fault,
        FlipByte,
        Gzip,
        IgnoreRange,
        NoLength,
        Request,
        Reset,
        ResetUpload,
        SetHeaders,
        Stall,
        StallUpload,
        Status,
        Truncate,
    )
    from rv_core.testing._filesystem_contract import NAMES, FileSystemContract, Put, Remove
    from rv_core.testing._model_defaults_contract import ModelDefaultsContract
    from rv_core.testing._proxy import FaultProxy, Injection
    from rv_core.testing._selection import only

__all__ = [
    "NAMES",
    "AtMost",
    "BackendContract",
    "Before",
    "Chunked",
    "DownloadFaults",
    "Drip",
    "DripHead",
    "DropHeaders",
    "DropRequestHeaders",
    "Fault",
    "FaultProxy",
    "FileSystemContract",
    "FlipByte",
    "Gzip",
    "IgnoreRange",
    "Injection",
    "ModelDefaultsContract",
    "NoLength",
    "Put",
    "Remove",
    "Request",
    "Reset",
    "ResetUpload",
    "SetHeaders",
    "Stall",
    "StallUpload",
    "Status",
    "Truncate",
    "only",
]

# The proxy needs the standard library only; what needs pytest is imported when it is asked for.
_CONTRACTS = {
    "_backend_contract": ("BackendContract",),
    "_download_faults": ("DownloadFaults",),
    "_filesystem_contract": ("NAMES", "FileSystemContract", "Put", "Remove"),
    "_model_defaults_contract": ("ModelDefaultsContract",),
}
_REWRITTEN = (*_CONTRACTS, "_chip_samples", "_fault_scene", "_folder_faults", "_plugin_contract")
_HOME_OF = {name: home for home, names in _CONTRACTS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        import pytest

        # So that a failure shows the values, as in a test module of one's own.
        pytest.register_assert_rewrite(*(f"{__name__}.{home}" for home in _REWRITTEN))
        value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    elif name in __all__:
        for home in ("_proxy", "_faults", "_selection"):
            module = import_module(f"{__name__}.{home}")
            if hasattr(module, name):
                value = getattr(module, name)
                break
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value

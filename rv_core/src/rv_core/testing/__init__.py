"""What plugin authors test with: conformance suites, and a proxy that makes networks fail.

Needs the extra ``rv-core[testing]``.
"""

from __future__ import annotations

from rv_core.testing._faults import (
    Before,
    Chunked,
    Drip,
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
from rv_core.testing._proxy import FaultProxy, Injection

__all__ = [
    "Before",
    "Chunked",
    "Drip",
    "DropHeaders",
    "DropRequestHeaders",
    "Fault",
    "FaultProxy",
    "FlipByte",
    "Gzip",
    "IgnoreRange",
    "Injection",
    "NoLength",
    "Request",
    "Reset",
    "ResetUpload",
    "SetHeaders",
    "Stall",
    "StallUpload",
    "Status",
    "Truncate",
]

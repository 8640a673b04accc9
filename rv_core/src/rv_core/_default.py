"""The kernel of those who do not make one: made on first use, with the settings of that moment."""

from __future__ import annotations

import threading

from rv_core._discovery import BROKEN
from rv_core._kernel import Kernel
from rv_core._resolution import ANY_KIND, unknown

_lock = threading.Lock()
_kernel: Kernel | None = None


def default_kernel() -> Kernel:
    """One kernel for the whole process, over everything that is installed."""
    global _kernel  # noqa: PLW0603
    with _lock:
        if _kernel is None:
            _kernel = Kernel()
        return _kernel


def installed_key(name: str) -> str:
    """The key itself; raises AttributeError where nobody installed serves it."""
    kernel = default_kernel()
    if kernel.has_key(name):
        return name
    broken = [p for p in kernel.plugins() if p.status == BROKEN]
    installed = sorted({k for kind in kernel.kinds() for k in kernel.keys(kind)})
    error = unknown(ANY_KIND, name, installed)
    notes = "".join(f"; broken: {p.distribution} {p.version}" for p in broken)
    raise AttributeError(f"{error} ({error.hint}{notes})", name=name)

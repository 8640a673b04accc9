"""What this distribution provides; light, the machinery is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rv_core import hookimpl, read_model_defaults_json

if TYPE_CHECKING:
    from rv_core import Backend, Kernel

KEY = "KERAS_CLASSIFICATION"


@hookimpl
def rv_backend(key: str, kernel: Kernel) -> type[Backend] | None:
    if key != KEY:
        return None
    from rv_backend_keras.backend import KerasClassification

    return KerasClassification


@hookimpl
def rv_model_defaults(backend: str, kernel: Kernel) -> Mapping[str, Any] | None:
    if backend != KEY:
        return None
    return read_model_defaults_json("rv_backend_keras")

"""Every error RV raises on purpose, as one tree.

::

    RVError                         what was asked, what was found; ``hint``: what to do
    ├── ConfigError                 a setting, a config file or an experiment file is wrong
    ├── PluginError                 a key could not be served; names the distribution at fault
    │   ├── UnknownKeyError         nobody installed serves the key
    │   ├── PluginConflictError     several distributions claim the key and no pin decides
    │   ├── PluginDisabledError     the key's only owner is disabled
    │   ├── PluginIncompatibleError the key's only owner speaks another contract version
    │   ├── PluginLoadError         the owner cannot be imported, or its target does not exist
    │   │   └── PluginDependencyError   ... because something it needs is not installed
    │   └── PluginContractError     the owner answered with the wrong type, or with nothing
    ├── StorageError                a URI could not be read, written, listed or deleted
    │   ├── NotFoundError           nothing is there
    │   ├── AlreadyExistsError      something is there, and it must not be
    │   ├── NotWritableError        this storage, or this place, cannot be written
    │   ├── AccessDeniedError       the server or the system refused
    │   ├── TransferError           the transfer died; trying again may help
    │   └── IntegrityError          size or checksum is not what was promised
    ├── DataError                   rasters, labels or chips that cannot be used as asked
    ├── ModelError                  weights or a model that cannot be used as asked
    └── InterruptedRunError         stopped on request, in a state that can be resumed
"""

from __future__ import annotations

from rv_core._scheme import without_password


class RVError(Exception):
    """Base of all errors that RV raises on purpose.

    ``str(error)`` is one line that says what was asked and what was found.
    ``error.hint`` says what to do about it, or is ``None``. Passwords of URIs are left out of both.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        message = without_password(message)
        super().__init__(message)
        self.message = message
        self.hint = hint if hint is None else without_password(hint)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.__dict__)


def _rebuild(cls: type[RVError], state: dict[str, object]) -> RVError:
    """Unpickle an error in another process, whatever its constructor asks for."""
    error = cls.__new__(cls)
    error.args = (state["message"],)
    error.__dict__.update(state)
    return error


class ConfigError(RVError):
    """A setting, a config file or an experiment file is wrong."""


class PluginError(RVError):
    """A key could not be served; ``distribution`` is the one at fault, where one is."""

    def __init__(
        self, message: str, *, hint: str | None = None, distribution: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.distribution = distribution


class UnknownKeyError(PluginError):
    """Nobody installed serves the key."""


class PluginConflictError(PluginError):
    """Several distributions claim the key and no pin decides."""


class PluginDisabledError(PluginError):
    """The only owner of the key is disabled."""


class PluginIncompatibleError(PluginError):
    """The only owner of the key speaks another version of the contract."""


class PluginLoadError(PluginError):
    """The owner of the key cannot be imported, or its entry point leads nowhere."""


class PluginDependencyError(PluginLoadError):
    """The owner of the key needs something that is not installed."""


class PluginContractError(PluginError):
    """The owner of the key answered with the wrong type, or with nothing."""


class StorageError(RVError):
    """A URI could not be read, written, listed or deleted."""


class NotFoundError(StorageError):
    """Nothing is at the URI."""


class AlreadyExistsError(StorageError):
    """Something is at the URI, and it must not be (mode ``"xb"``)."""


class NotWritableError(StorageError):
    """The storage behind the URI is read-only, or this place in it is."""


class AccessDeniedError(StorageError):
    """The server or the operating system refused access."""


class TransferError(StorageError):
    """The transfer died; trying again may help.

    ``retry_after``: seconds after which the server asks to be tried again. ``stalled``: seconds
    that went by without progress before this was raised. ``busy``: whether the server says that
    it is asked for too much at a time, so that fewer transfers at once may help.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        retry_after: float | None = None,
        stalled: float = 0.0,
        busy: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
        self.stalled = stalled
        self.busy = busy


class IntegrityError(StorageError):
    """The size or checksum of what arrived is not what was promised."""


class DataError(RVError):
    """Rasters, labels or chips that cannot be used as asked."""


class ModelError(RVError):
    """Weights or a model that cannot be used as asked."""


class InterruptedRunError(RVError):
    """Work stopped on request, leaving a state from which it can be resumed."""

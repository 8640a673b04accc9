"""How this package is set up: ``[http]`` in the settings, or arguments of whoever embeds it."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import attrs

from rv_core import ConfigError

if TYPE_CHECKING:
    from rv_core import Config

SECTION = "http"


def _positive(settings: HttpSettings, field: attrs.Attribute[Any], value: float) -> None:
    if not value > 0:
        raise ConfigError(f"{SECTION}.{field.name} must be more than 0, it is {value!r}")


def _exists(settings: HttpSettings, field: attrs.Attribute[Any], value: str | None) -> None:
    if value is not None and not Path(value).expanduser().exists():
        raise ConfigError(
            f"{SECTION}.{field.name} names {value}, which does not exist",
            hint="name a file of certificates (PEM), or a folder of them prepared by c_rehash",
        )


@attrs.frozen(kw_only=True)
class HttpSettings:
    """What may be set.

    ``connect_timeout``: seconds until the name is resolved and the connection stands.
    ``read_timeout``: seconds without a byte. ``connections``: transfers at the same time.
    ``ca_bundle``: certificates to trust instead of the usual ones. ``proxy``: URL of a proxy for
    all requests, ``no_proxy``: hosts that need none, comma between; both instead of what the
    environment says. ``refuse_private``: connect to public addresses only. ``netrc``: take
    credentials from the user's netrc file. ``hosts``: credentials by host (``"example.com"``, or
    ``"example.com:8443"`` where the port is not the scheme's own), each a mapping with
    ``username`` and ``password``, or with ``token``.
    """

    connect_timeout: float = attrs.field(default=5.0, validator=_positive)
    read_timeout: float = attrs.field(default=10.0, validator=_positive)
    connections: int = attrs.field(default=32, validator=_positive)
    ca_bundle: str | None = attrs.field(default=None, validator=_exists)
    proxy: str | None = attrs.field(default=None, repr=False)
    no_proxy: str | None = None
    refuse_private: bool = False
    netrc: bool = True
    hosts: Mapping[str, Mapping[str, str]] = attrs.field(factory=dict, repr=False)

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """The settings of a kernel; raises `ConfigError`, also for one that does not exist: a
        misspelt ``refuse_private`` must not pass for a set one."""
        fields = attrs.fields(cls)
        known = [field.name for field in fields]
        for name in config.section(SECTION):
            if name not in known:
                close = get_close_matches(name, known, n=1)
                raise ConfigError(
                    f"[{SECTION}] has no setting {name!r}",
                    hint=f"did you mean {close[0]!r}?" if close else f"it has {', '.join(known)}",
                )
        types = {"ca_bundle": str, "proxy": str, "no_proxy": str, "hosts": dict}
        defaults = cls()
        values = {
            name: config.get(SECTION, name, getattr(defaults, name), types.get(name))
            for name in known
        }
        return cls(**values)

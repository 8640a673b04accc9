"""What may be set for ``s3://``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from rv_core import ConfigError, without_secrets

if TYPE_CHECKING:
    from rv_core import Config

SECTION: Final = "s3"
ADDRESSING: Final = ("auto", "path", "virtual")


def _optional() -> Any:
    return attrs.field(default=None)


def _positive(settings: S3Settings, field: attrs.Attribute[Any], value: float) -> None:
    if not value > 0:
        raise ConfigError(f"{SECTION}.{field.name} must be more than 0, it is {value!r}")


def _exists(settings: S3Settings, field: attrs.Attribute[Any], value: str | None) -> None:
    if value is not None and not Path(value).exists():
        raise ConfigError(
            f"{SECTION}.{field.name} names {value}, which does not exist",
            hint="name a file of certificates (PEM)",
        )


def _pairs(proxies: Mapping[str, str] | tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(proxies.items() if isinstance(proxies, Mapping) else proxies))


@attrs.frozen(kw_only=True)
class S3Settings:
    """How to reach a server. What is ``None`` is left to boto3, which looks at its environment
    variables, at the shared config and credentials files, and at the machine it runs on.

    ``endpoint_url``: of a server that is not Amazon's. ``region``: of the buckets.
    ``addressing_style``: ``"path"`` (``host/bucket/key``), ``"virtual"`` (``bucket.host/key``) or
    ``"auto"``. ``profile``: of the shared files. ``role_arn``: a role to assume with what was
    found. ``anonymous``: requests are not signed. ``requester_pays``: we pay for what we read.
    ``storage_class``, ``server_side_encryption``, ``sse_kms_key_id``, ``acl``: given to what is
    written. ``ca_bundle``: path of the certificates to trust. ``proxies``: a proxy's URL for each
    of ``"http"`` and ``"https"``. ``connections``: how many files a sync moves at the same time,
    and kept open. ``checksums``: CRCs are sent and asked for; without, MD5 is sent, which older
    servers know too. ``connect_timeout``, ``read_timeout``: seconds until the connection stands,
    and without a byte.
    """

    endpoint_url: str | None = _optional()
    region: str | None = _optional()
    addressing_style: str | None = _optional()
    profile: str | None = _optional()
    role_arn: str | None = _optional()
    anonymous: bool = False
    requester_pays: bool = False
    storage_class: str | None = _optional()
    server_side_encryption: str | None = _optional()
    sse_kms_key_id: str | None = _optional()
    acl: str | None = _optional()
    ca_bundle: str | None = attrs.field(default=None, validator=_exists)
    # Proxies may have passwords.
    proxies: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=_pairs, repr=False)
    connections: int = attrs.field(default=64, validator=_positive)
    checksums: bool = True
    connect_timeout: float = attrs.field(default=5.0, validator=_positive)
    read_timeout: float = attrs.field(default=10.0, validator=_positive)

    def __attrs_post_init__(self) -> None:
        if self.addressing_style not in (None, *ADDRESSING):
            raise ConfigError(
                f"s3.addressing_style is {self.addressing_style!r}",
                hint=f"it is one of {', '.join(ADDRESSING)}",
            )
        if self.endpoint_url is not None and "://" not in self.endpoint_url:
            raise ConfigError(
                f"s3.endpoint_url is {without_secrets(self.endpoint_url)!r}, which is no URL",
                hint="it starts with https:// or http://",
            )

    @classmethod
    def from_config(cls, config: Config, environ: Mapping[str, str] | None = None) -> Self:
        """The settings of section ``[s3]``, and ``AWS_REQUEST_PAYER`` as other tools know it.

        Raises `ConfigError` for an unknown setting or a wrong value.
        """
        environ = os.environ if environ is None else environ
        known = attrs.fields_dict(cls)
        for name in config.section(SECTION):
            if name not in known:
                close = get_close_matches(name, known, n=1)
                raise ConfigError(
                    f"[{SECTION}] has no setting {name!r}",
                    hint=f"did you mean {close[0]!r}?" if close else f"it has {', '.join(known)}",
                )
        values: dict[str, Any] = {}
        for name, field in known.items():
            default = {} if name == "proxies" else field.default
            if name == "requester_pays":
                default = environ.get("AWS_REQUEST_PAYER", "").strip().lower() == "requester"
            found = config.get(SECTION, name, default, str if default is None else type(default))
            values[name] = default if found == "" else found
        return cls(**values)

    def of_written_objects(self) -> dict[str, str]:
        """The parameters that go with the requests that make an object."""
        named = {
            "ACL": self.acl,
            "SSEKMSKeyId": self.sse_kms_key_id,
            "ServerSideEncryption": self.server_side_encryption,
            "StorageClass": self.storage_class,
        }
        return {name: value for name, value in named.items() if value}

"""One boto3 client for each process and configuration, and one way to call it."""

from __future__ import annotations

import os
import platform
import threading
import time
from contextlib import nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

import attrs
import botocore
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import create_loader
from botocore.parsers import ResponseParserError
from rv_core.transfers import Retries
from urllib3.exceptions import HTTPError

from rv_core import RVError
from rv_fs_s3._errors import failure, is_expired, refusal
from rv_fs_s3._events import SMALL_BODY, register
from rv_fs_s3._quiet_logs import install, quiet
from rv_fs_s3._role import RoleProvider
from rv_fs_s3._times import time_of
from rv_fs_s3._turn import Turn

if TYPE_CHECKING:
    from rv_fs_s3._bodies import Body
    from rv_fs_s3._locations import Location
    from rv_fs_s3._settings import S3Settings

Answer = dict[str, Any]

_USER_AGENT: Final = (
    f"rv-fs-s3/0.1.0 Botocore/{botocore.__version__} Python/{platform.python_version()}"
)
_FOUND_IN: Final = ("AWS_", "BOTO", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "HOME", "REQUESTS_")


@attrs.frozen
class _Made:
    """A client of boto3 and the process it was made in."""

    pid: int
    client: Any


class Client:
    """Calls a server. The client of boto3 behind it is made when it is needed first, anew in a
    forked process, and anew when its credentials have expired. May be used by many threads."""

    def __init__(self, settings: S3Settings) -> None:
        self.settings = settings
        self.retries = Retries()
        self._lock = threading.Lock()
        self._current: _Made | None = None
        self._turn = Turn()

    def ask(self, operation: str, action: str, location: Location, **params: Any) -> Answer:
        """What the server answers to an operation on a bucket, tried again where that may help.

        ``action``: what for, such as ``"read"``, for the message. Raises `StorageError`.
        """
        return self.retries(lambda: self.ask_once(operation, action, location, **params))

    def ask_once(self, operation: str, action: str, location: Location, **params: Any) -> Answer:
        """The same, tried once (and again with new credentials where they had expired)."""
        began = time.monotonic()
        silence = self.settings.read_timeout
        error: RVError
        for last in (False, True):
            made: _Made | None = None
            body: Body | None = params.get("Body")
            try:
                if body is not None:
                    body.seek(0)
                # A large body is signed outside of the interpreter, by several threads at once.
                small = body is None or len(body) <= SMALL_BODY
                with self._turn.taken() if small else nullcontext(), quiet():
                    made = self._made()
                    call = getattr(made.client, operation)
                    answer: Answer = call(Bucket=location.bucket, **params)
                return answer
            except ClientError as refused:
                if is_expired(refused) and not last:
                    self._renew(made)
                    continue
                waited = time.monotonic() - max(began, body.last_taken if body else began)
                error = refusal(refused, action, location.shown, min(waited, silence))
            except RVError as ours:
                error = ours
            except (BotoCoreError, ResponseParserError, HTTPError, OSError, ValueError) as broken:
                seconds = time.monotonic() - began
                error = failure(broken, action, location.shown, seconds, silence)
            # Without the cause: it may spell out URLs, and what the server repeats of a request.
            raise error from None
        raise AssertionError("unreachable")

    def boto(self) -> Any:
        """The client of boto3 behind this one, to look at how it is set up."""
        return self._made().client

    def forget(self) -> None:
        """Start afresh in a forked process: with none of its parent's connections and locks."""
        self._lock = threading.Lock()
        self._current = None
        self._turn = Turn()

    def _made(self) -> _Made:
        made = self._current
        if made is None or made.pid != os.getpid():
            with self._lock:
                made = self._current
                if made is None or made.pid != os.getpid():
                    made = self._current = _Made(os.getpid(), self._new())
        return made

    def _new(self) -> Any:
        client = _new_client(self.settings)
        register(client, self.settings, self._turn)
        return client

    def _renew(self, expired: _Made | None) -> None:
        """Look for credentials again, unless another thread has done so meanwhile."""
        with self._lock:
            if self._current is expired:
                self._current = None


_clients: WeakValueDictionary[tuple[object, ...], Client] = WeakValueDictionary()
_clients_lock = threading.Lock()


def client_of(settings: S3Settings) -> Client:
    """The one client of this process for these settings and this environment."""
    # boto3 finds credentials by the environment. Hashed, so that they are not kept here.
    found = (item for item in os.environ.items() if item[0].upper().startswith(_FOUND_IN))
    key = (os.getpid(), settings, hash(tuple(sorted(found))))
    with _clients_lock:
        client = _clients.get(key)
        if client is None:
            client = _clients[key] = Client(settings)
        return client


def _after_fork() -> None:
    global _clients_lock  # noqa: PLW0603  another thread may have held it
    _clients_lock = threading.Lock()
    for client in list(_clients.values()):
        client.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _new_client(settings: S3Settings) -> Any:
    install()
    session = botocore.session.Session(profile=settings.profile)
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    # botocore's own takes the seventh part of the time of a small request.
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=time_of)
    if settings.role_arn is not None:
        provider = RoleProvider(settings.role_arn, settings)
        session.get_component("credential_provider").providers.insert(0, provider)
    config = _config(settings)
    make: Any = session.create_client
    given: dict[str, Any] = {
        "region_name": settings.region,
        "endpoint_url": settings.endpoint_url,
        "verify": settings.ca_bundle,
    }
    client = make("s3", config=config, **given)
    if client.meta.endpoint_url.startswith("https:"):
        # What is written goes with a checksum of ours: the signature need not cover it as well.
        signed = client.meta.config.s3 or {}
        if "payload_signing_enabled" not in signed:
            unsigned: Any = {**signed, "payload_signing_enabled": False}
            client = make("s3", config=config.merge(Config(s3=unsigned)), **given)
    return client


@cache
def _loader(data_path: str | None) -> Any:
    """What the protocol is read from, once: it takes most of the time that a client takes."""
    return create_loader(data_path)


def _config(settings: S3Settings) -> Config:
    options: dict[str, Any] = {
        "connect_timeout": settings.connect_timeout,
        "read_timeout": settings.read_timeout,
        "retries": {"total_max_attempts": 1, "mode": "standard"},
        "tcp_keepalive": True,
        "max_pool_connections": settings.connections,
        "parameter_validation": False,
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        "user_agent": _USER_AGENT,
    }
    if settings.proxies:
        options["proxies"] = dict(settings.proxies)
    if settings.addressing_style is not None:
        options["s3"] = {"addressing_style": settings.addressing_style}
    if settings.anonymous:
        options["signature_version"] = botocore.UNSIGNED
    return Config(**options)

"""Settings, from several places in a fixed order, each knowing where it came from.

Arguments come before ``RV_*`` variables, those before the project's ``rv.toml``, that before the
user's file, and all of them before the default of whoever asks.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Self

import attrs

from rv_core._errors import ConfigError
from rv_core._platform_dirs import user_config_dir
from rv_core._scheme import without_secrets

PROJECT_FILE: Final = "rv.toml"
DEFAULT_PROFILE: Final = "config"
KERNEL_SECTION: Final = "rv"
KERNEL_SETTINGS: Final[Mapping[str, Any]] = {
    "cache_dir": None,
    "cache_max_bytes": 20 * 2**30,
    "disable_plugins": [],
    "model_defaults_uri": None,
    "pins": {},
    "require_hooks": [],
}
"""The keys of section ``[rv]`` and their defaults; other sections belong to plugins."""

_SECRET = re.compile(
    r"passw|passphrase|secret|token|credential|connection_string|(api|access|account|private)_?key",
    re.IGNORECASE,
)
_SECRET_URL = re.compile(
    r"://[^/?#]*:[^/]*@|[?&][^=&]*(sig|signature|token|secret|api_?key)=", re.IGNORECASE
)
_PROFILE_NAME = re.compile(r"[\w.-]+\Z")
_MASK = "********"

Sections = Mapping[str, Mapping[str, Any]]


@attrs.frozen
class Setting:
    """A value and where it came from. ``shown()`` masks what is secret: by its name, or as part of
    a URL."""

    section: str
    key: str
    value: Any
    origin: str

    def shown(self) -> Any:
        return _masked(self.key, self.value)


class Config:
    """The settings one kernel works with.

    ``Config(arguments)`` holds the arguments and nothing else; `load` reads the environment, the
    project's file (``rv.toml`` in ``project_dir`` or the nearest folder above it) and the user's
    (``<user_dir>/<profile>.toml``). A value ``{"env": "NAME"}`` stands for that variable, so that
    secrets need not be written down. Raises `ConfigError` for files that cannot be read.
    """

    def __init__(
        self,
        arguments: Sections | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        files: tuple[tuple[str, Path], ...] = (),
        profile: str | None = None,
    ) -> None:
        self._environ: Mapping[str, str] = {} if environ is None else environ
        self._files = files
        self.profile = profile
        layers = [("argument", _checked(dict(arguments or {}), "Kernel(config=...)"))]
        layers += [(f"{what} {path}", _read_toml(path)) for what, path in files]
        self._arguments = layers[0][1]
        self._layers = layers

    @classmethod
    def load(
        cls,
        arguments: Sections | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        project_dir: Path | None = None,
        user_dir: Path | None = None,
        profile: str | None = None,
    ) -> Self:
        """Read the settings of this place: environment, project and user."""
        environ = os.environ if environ is None else environ
        profile = profile or environ.get("RV_PROFILE") or None
        files: list[tuple[str, Path]] = []
        if project := _find_project_file(project_dir or Path.cwd()):
            files.append(("project", project))
        if user := _find_user_file(user_dir or user_config_dir(environ), profile):
            files.append(("user", user))
        return cls(arguments, environ=environ, files=tuple(files), profile=profile)

    def lookup(self, section: str, key: str, default: Any = None) -> Setting:
        """The value that wins, and its origin."""
        arguments, *files = self._layers
        variable = variable_of(section, key)
        if key in arguments[1].get(section, {}):
            return self._setting(section, key, arguments[1][section][key], arguments[0])
        if variable in self._environ:
            return Setting(section, key, self._environ[variable], f"environment {variable}")
        for origin, sections in files:
            if key in sections.get(section, {}):
                return self._setting(section, key, sections[section][key], origin)
        return Setting(section, key, default, "default")

    def get(self, section: str, key: str, default: Any = None, type: type | None = None) -> Any:  # noqa: A002
        """The value that wins, as ``type`` or else as the type of ``default``.

        Text is parsed where another type is wanted: ``true/false``, numbers, lists split at
        commas, mappings as ``a=b,c=d``. Raises `ConfigError` that names the origin.
        """
        found = self.lookup(section, key, default)
        wanted = type or (default.__class__ if default is not None else None)
        if wanted is None or found.value is None or found.origin == "default":
            return found.value
        return _convert(found, wanted)

    def all_of(self, section: str, key: str, type: type) -> Iterator[tuple[str, Any]]:  # noqa: A002
        """The value from every place that has one, with its origin, in no order of rank."""
        arguments, *files = self._layers
        for origin, sections in (arguments, *files):
            if key in sections.get(section, {}):
                found = self._setting(section, key, sections[section][key], origin)
                yield found.origin, _convert(found, type)
        variable = variable_of(section, key)
        if variable in self._environ:
            found = Setting(section, key, self._environ[variable], variable)
            yield found.origin, _convert(found, type)

    def section(self, name: str) -> dict[str, Any]:
        """All keys of a section that files or arguments set, with the values that win."""
        keys = {key for _, sections in self._layers for key in sections.get(name, {})}
        return {key: self.get(name, key) for key in sorted(keys)}

    def settings(self) -> Iterator[Setting]:
        """Every value there is: the kernel's own with defaults, then what was set for plugins."""
        named = {
            (s, k) for _, sections in self._layers for s, keys in sections.items() for k in keys
        }
        named |= {(KERNEL_SECTION, key) for key in KERNEL_SETTINGS}
        for section, key in sorted(named):
            default = KERNEL_SETTINGS.get(key) if section == KERNEL_SECTION else None
            yield self.lookup(section, key, default)
        variables = {variable_of(section, key) for section, key in named}
        for variable in sorted(self._environ):
            if variable.startswith("RV_") and variable not in variables:
                name = variable.removeprefix("RV_").lower()
                value = self._environ[variable]
                yield Setting("", name, value, f"environment {variable}")

    def spec(self) -> dict[str, Any]:
        """What `from_spec` needs in another process. Raises `ConfigError` where an argument holds
        a secret itself instead of a reference to it."""
        own = {} if self._environ is os.environ else _only_rv(self._environ)
        held = [
            f"{section}.{name}" if section else name
            for section, values in [*self._arguments.items(), ("", own)]
            for key, value in values.items()
            for name in _secrets_in(key, value)
        ]
        if held:
            key = held[0].rpartition(".")[2]
            raise ConfigError(
                f"the setting {held[0]} holds a secret, which is never sent to a worker",
                hint=f'pass a reference instead: {{"{key}": {{"env": "NAME"}}}}, or use a profile',
            )
        return {
            "arguments": {s: dict(keys) for s, keys in self._arguments.items()},
            "environ": None if self._environ is os.environ else own,
            "files": tuple((what, str(path)) for what, path in self._files),
            "profile": self.profile,
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """The same settings, read again where this process runs."""
        return cls(
            spec["arguments"],
            environ=os.environ if spec["environ"] is None else spec["environ"],
            files=tuple((what, Path(path)) for what, path in spec["files"]),
            profile=spec["profile"],
        )

    def _setting(self, section: str, key: str, value: Any, origin: str) -> Setting:
        found = self._resolved(value, f"{origin} takes {section}.{key}")
        variable = f" (variable {value['env']})" if _is_reference(value) else ""
        return Setting(section, key, found, origin + variable)

    def _resolved(self, value: Any, doing: str) -> Any:
        """The value with what its references stand for, also below mappings."""
        if _is_reference(value):
            name = value["env"]
            if name not in self._environ and name not in os.environ:
                raise ConfigError(f"{doing} from the variable {name}, which is not set")
            return self._environ.get(name, os.environ.get(name))
        if isinstance(value, Mapping):
            return {key: self._resolved(below, doing) for key, below in value.items()}
        return value


def is_secret(key: str) -> bool:
    """Whether a setting of this name is to be kept out of logs, listings and specs."""
    return _SECRET.search(key) is not None


def variable_of(section: str, key: str) -> str:
    """The environment variable of a setting: ``rv.x`` is ``RV_X``, ``s3.x`` is ``RV_S3_X``."""
    name = key if section == KERNEL_SECTION else f"{section}_{key}"
    return "RV_" + re.sub(r"\W", "_", name).upper()


def _is_reference(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"env"}


def _secrets_in(key: str, value: Any) -> Iterator[str]:
    """The names, dotted where nested, under which a value holds a secret itself."""
    if _is_reference(value):
        return
    if isinstance(value, Mapping):
        for name, below in value.items():
            yield from _secrets_in(f"{key}.{name}", below)
    elif isinstance(value, list | tuple):
        for below in value:
            yield from _secrets_in(key, below)
    elif value is not None and (is_secret(key) or _is_secret_url(value)):
        yield key


def _masked(key: str, value: Any) -> Any:
    if next(_secrets_in(key, value), None) is None:
        return value
    if isinstance(value, Mapping):
        return {name: _masked(f"{key}.{name}", below) for name, below in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(key, below) for below in value]
    return _MASK if is_secret(key) else without_secrets(value)


def _is_secret_url(value: Any) -> bool:
    return isinstance(value, str) and _SECRET_URL.search(value) is not None


def _only_rv(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith("RV_")}


def _find_project_file(start: Path) -> Path | None:
    folders = (start.absolute(), *start.absolute().parents)
    return next((f / PROJECT_FILE for f in folders if (f / PROJECT_FILE).is_file()), None)


def _find_user_file(folder: Path, profile: str | None) -> Path | None:
    if profile is not None and not _PROFILE_NAME.match(profile):
        raise ConfigError(
            f"{profile!r} is not the name of a profile", hint="letters, digits, . _ -"
        )
    path = folder / f"{profile or DEFAULT_PROFILE}.toml"
    if path.is_file():
        return path
    if profile is not None:
        there = sorted(p.stem for p in folder.glob("*.toml"))
        raise ConfigError(
            f"there is no profile {profile!r} in {folder}",
            hint=f"there are: {', '.join(there)}" if there else f"write {path}",
        )
    return None


def _read_toml(path: Path) -> Sections:
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    return _checked(data, str(path))


def _checked(data: Mapping[str, Any], origin: str) -> Sections:
    for section, keys in data.items():
        if not isinstance(keys, Mapping):
            raise ConfigError(
                f"{origin}: {section!r} stands outside any section",
                hint=f"settings belong to sections, such as [rv]; {section!r} holds {keys!r}",
            )
    for key in data.get(KERNEL_SECTION, {}):
        if key not in KERNEL_SETTINGS:
            close = get_close_matches(key, KERNEL_SETTINGS, n=1)
            known = ", ".join(KERNEL_SETTINGS)
            raise ConfigError(
                f"{origin}: [rv] has no setting {key!r}",
                hint=f"did you mean {close[0]!r}?" if close else f"it has {known}",
            )
    return data


def _convert(found: Setting, wanted: type) -> Any:
    value = found.value
    if isinstance(value, str) and wanted is not str:
        try:
            return _parse(value, wanted)
        except ValueError:
            pass
    elif isinstance(value, wanted) and not (isinstance(value, bool) and wanted is not bool):
        return value
    elif wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    elif wanted is list and isinstance(value, tuple | set | frozenset):
        return list(value)
    raise ConfigError(
        f"{found.section}.{found.key} must be of type {wanted.__name__}, "
        f"got {found.shown()!r} from {found.origin}"
    )


def _parse(text: str, wanted: type) -> Any:
    if wanted is bool:
        words = {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }
        try:
            return words[text.strip().lower()]
        except KeyError:
            raise ValueError(text) from None
    if wanted is list:
        return [part.strip() for part in text.split(",") if part.strip()]
    if wanted is dict:
        pairs = [part.split("=", 1) for part in text.split(",") if part.strip()]
        return {key.strip(): value.strip() for key, value in pairs}
    return wanted(text)

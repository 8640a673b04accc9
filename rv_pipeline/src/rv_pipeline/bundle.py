"""Bundles: one zip file that holds a model and everything to predict with it.

``bundle.json`` says how; ``model/`` holds the files that the backend left. A bundle of a newer
format, one with names that lead out of it, and one that unpacks to more than the setting
``[pipeline] max_bundle_bytes`` (16 GiB) are refused before anything is unpacked.
"""

from __future__ import annotations

import json
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import attrs

from rv_core import (
    ModelError,
    OnProgress,
    PluginError,
    Progress,
    StorageError,
    UnknownKeyError,
    ignore_progress,
)

if TYPE_CHECKING:
    from rv_core import Kernel

INFO_NAME: Final = "bundle.json"
MODEL_FOLDER: Final = "model"
FORMAT: Final = "rv-bundle"
VERSION: Final = 1
MAX_BUNDLE_BYTES: Final = 16 << 30
_MAX_INFO_BYTES: Final = 64 << 20
_CHUNK: Final = 1 << 20
_BROKEN: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
"""What zipfile raises for members that are damaged, packed in an unknown way or encrypted."""
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the same content makes the same file
_COMPRESSED: Final = (".json", ".txt", ".csv", ".pbtxt", ".yaml", ".config")


@attrs.frozen
class Requirement:
    """A plugin that the bundle needs: the key of its kind, and who served it where it was made."""

    kind: str
    key: str
    distribution: str | None = None
    version: str | None = None


@attrs.frozen
class BundleInfo:
    """What ``bundle.json`` says, beside format and version; all JSON-able.

    ``raster``: how images are read (`RasterConfig` without URIs). ``stats``: of ANALYZE.
    ``model``: the name in the folder ``model/`` that the backend's ``load_model`` takes.
    """

    task: Mapping[str, Any]
    backend: Mapping[str, Any]
    raster: Mapping[str, Any]
    predict: Mapping[str, Any]
    stats: Mapping[str, Any]
    model: str
    requirements: Sequence[Requirement]
    experiment_id: str
    versions: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, "version": VERSION, **attrs.asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> BundleInfo:
        """Raises `ModelError` for another format, a newer version or a record that is not whole."""
        if data.get("format") != FORMAT:
            raise ModelError(f"{where} is not an RV bundle: its format is {data.get('format')!r}")
        if data.get("version") != VERSION:
            raise ModelError(
                f"{where} is a bundle of format version {data.get('version')!r}, this rv-pipeline "
                f"reads {VERSION}",
                hint="pip install --upgrade rv-pipeline",
            )
        fields = {name: _field(data, name, kind, where) for name, kind in _FIELDS.items()}
        _field(fields["task"], "key", str, where)
        _field(fields["backend"], "backend", str, where)
        fields["requirements"] = tuple(
            Requirement(
                _field(need, "kind", str, where),
                _field(need, "key", str, where),
                need.get("distribution"),
                need.get("version"),
            )
            for need in fields["requirements"]
            if isinstance(need, Mapping)
        )
        return cls(**fields)


_FIELDS: Final[Mapping[str, Any]] = {
    "task": Mapping,
    "backend": Mapping,
    "raster": Mapping,
    "predict": Mapping,
    "stats": Mapping,
    "model": str,
    "requirements": list,
    "experiment_id": str,
    "versions": Mapping,
}


def _field(data: Mapping[str, Any], name: str, kind: Any, where: str) -> Any:
    value = data.get(name)
    if not isinstance(value, kind):
        raise ModelError(
            f"{where} is damaged: its {INFO_NAME} has no usable {name!r}",
            hint="make the bundle again",
        )
    return value


def write_bundle(
    target: Path,
    info: BundleInfo,
    model_uri: str,
    kernel: Kernel,
    on_progress: OnProgress = ignore_progress,
) -> int:
    """Stream a model's files into a zip at a local path; returns its size in bytes.

    ``model_uri``: a file, or a folder of which all files are taken.
    """
    members = list(_members(model_uri, info.model, kernel))
    total = sum(size or 0 for _, _, size in members)
    done = 0
    with zipfile.ZipFile(target, "w", allowZip64=True) as archive:
        archive.writestr(
            _entry(INFO_NAME), json.dumps(info.to_dict(), indent=2, ensure_ascii=False)
        )
        for name, uri, _ in members:
            with (
                kernel.files.open(uri) as source,
                archive.open(_entry(f"{MODEL_FOLDER}/{name}"), "w", force_zip64=True) as sink,
            ):
                while chunk := source.read(_CHUNK):
                    sink.write(chunk)
                    done += len(chunk)
                    on_progress(Progress("BUNDLE", done, total or None, "B"))
    return target.stat().st_size


def read_info(path: Path, where: str) -> BundleInfo:
    """What a bundle says of itself. ``where``: its URI, for messages.

    Raises `ModelError` for a file that is no bundle of this version, or has members that lead out.
    """
    with _opened(path, where) as archive:
        try:
            member = archive.getinfo(INFO_NAME)
        except KeyError:
            raise ModelError(
                f"{where} is not an RV bundle: it has no {INFO_NAME}",
                hint="a bundle is the bundle.zip that BUNDLE makes",
            ) from None
        if member.file_size > _MAX_INFO_BYTES:
            raise ModelError(f"{where} is damaged: {INFO_NAME} has {member.file_size} bytes")
        try:
            data = json.loads(archive.read(member))
        except (ValueError, OSError, *_BROKEN) as error:
            raise _damaged(where, error) from error
        if not isinstance(data, dict):
            raise ModelError(f"{where} is damaged: {INFO_NAME} is not a mapping")
        return BundleInfo.from_dict(data, where)


def unpack(
    path: Path, folder: Path, where: str, model: str, max_bytes: int = MAX_BUNDLE_BYTES
) -> Path:
    """Unpack a bundle's model into ``folder / "model"``; returns what ``load_model`` takes.

    ``model``: its name there. Raises `ModelError` for names that lead out of the folder, for more
    than ``max_bytes``, and for a damaged file or one without the model.
    """
    with _opened(path, where) as archive:
        members = [m for m in archive.infolist() if not m.is_dir()]
        total = 0
        for member in members:
            _check_name(member, where)
            total += member.file_size
        if total > max_bytes:
            raise ModelError(
                f"{where} unpacks to {total} bytes, more than the {max_bytes} allowed",
                hint="if you trust it, raise the setting [pipeline] max_bundle_bytes "
                "(RV_PIPELINE_MAX_BUNDLE_BYTES)",
            )
        for member in members:
            target = folder / member.filename
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                # zipfile reads no more than the size declared, and checks it and the CRC.
                with archive.open(member) as source, target.open("xb") as sink:
                    shutil.copyfileobj(source, sink, _CHUNK)
            except (FileExistsError, NotADirectoryError, *_BROKEN) as error:
                raise _damaged(where, error) from error
    found = folder / MODEL_FOLDER / model
    if ".." in PurePosixPath(model).parts or not found.exists():
        raise ModelError(
            f"{where} is damaged: it holds no model {model!r}", hint="make the bundle again"
        )
    return found


def check_requirements(info: BundleInfo, kernel: Kernel, where: str) -> None:
    """Raises `UnknownKeyError` that names every plugin the bundle needs and this kernel lacks or
    has too old, and how to install them; another `PluginError` where one is there but cannot be
    used."""
    missing: list[Requirement] = []
    older = _older(info, kernel)
    for need in info.requirements:
        if need in older:
            missing.append(need)
            continue
        try:
            _ask(need, kernel)
        except UnknownKeyError:
            missing.append(need)
        except PluginError as error:
            raise type(error)(
                f"{where} cannot be used: {error.message}",
                hint=error.hint,
                distribution=error.distribution,
            ) from error
    if missing:
        names = ", ".join(_told(need, older.get(need)) for need in missing)
        wheels = " ".join(
            f'"{need.distribution}>={need.version}"' for need in missing if need.distribution
        )
        raise UnknownKeyError(
            f"{where} needs what is not installed here: {names}",
            hint=f"pip install {wheels}"
            if wheels
            else "it was made with plugins that were not installed as distributions; ask its maker",
        )


def _ask(need: Requirement, kernel: Kernel) -> None:
    if need.kind == "backends":
        kernel.backend(need.key)
    elif need.kind == "tasks":
        from rv_pipeline.tasks.task import task_class

        task_class(need.key, kernel)


def _older(info: BundleInfo, kernel: Kernel) -> dict[Requirement, str]:
    """What is installed in an older version than the one that made the bundle, and in which."""
    from packaging.version import InvalidVersion, Version

    installed = {plugin.distribution: plugin.version for plugin in kernel.plugins()}
    older: dict[Requirement, str] = {}
    for need in info.requirements:
        here = installed.get(need.distribution or "")
        if here is None or need.version is None:
            continue
        with suppress(InvalidVersion):
            if Version(here) < Version(need.version):
                older[need] = here
    return older


def _told(need: Requirement, older: str | None) -> str:
    name = f"{_singular(need.kind)} {need.key}"
    return f"{name} of {need.distribution} {need.version} (here: {older})" if older else name


def _singular(kind: str) -> str:
    return kind.removesuffix("s").replace("_", " ")


def _members(uri: str, name: str, kernel: Kernel) -> Iterator[tuple[str, str, int | None]]:
    """Name below ``model/``, URI and size of a model's files, in order of their names."""
    try:
        yield name, uri, kernel.files.info(uri).size
        return
    except StorageError:  # there is no such file; some systems say that it is a folder
        folder = uri.rstrip("/")
    found = sorted(kernel.files.list_paths(folder))
    if not found:
        raise ModelError(f"there is no model at {uri}", hint="run TRAIN again")
    for path in found:
        below = path[len(folder) + 1 :]
        if not below.startswith("_"):
            yield f"{name}/{below}", path, kernel.files.info(path).size


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED if name.endswith(_COMPRESSED) else zipfile.ZIP_STORED
    return entry


def _opened(path: Path, where: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise _damaged(where, error) from error


def _check_name(member: zipfile.ZipInfo, where: str) -> None:
    name = member.filename
    parts = PurePosixPath(name).parts
    link = (member.external_attr >> 16) & 0o170000 == 0o120000
    if (
        name.startswith("/")
        or ".." in parts
        or "\\" in name
        or ":" in name
        or "\x00" in name
        or link
        or not (name == INFO_NAME or parts[:1] == (MODEL_FOLDER,))
    ):
        raise ModelError(
            f"{where} is refused: its member {name!r} does not belong into a bundle",
            hint="do not use it; a bundle holds bundle.json and files below model/ only",
        )


def _damaged(where: str, error: Exception) -> ModelError:
    return ModelError(f"{where} is damaged, or no zip file: {error}", hint="fetch or make it again")

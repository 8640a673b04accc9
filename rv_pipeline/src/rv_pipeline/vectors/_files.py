"""What there is in a vector file, whatever its format."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import attrs
import pyogrio
import shapely
from pyogrio.errors import CRSError, DataLayerError, DataSourceError, FeatureError, GeometryError

from rv_core import DataError, NotFoundError, without_secrets

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rv_core import Kernel

_PARQUET: Final = (".parquet", ".geoparquet")
_GEOJSON: Final = (".json", ".geojson")
_NEEDED: Final = (".shx", ".dbf")
_BESIDE: Final = (*_NEEDED, ".prj", ".cpg")
_SHAPEFILE: Final = re.compile(r"(\.shp)(?=$|[?#])", re.IGNORECASE)
"""The ending of the first of them in a URI, behind which a signature may follow."""

_ERRORS: Final = (
    CRSError,
    DataSourceError,
    DataLayerError,
    FeatureError,
    GeometryError,
    shapely.errors.GEOSException,
    OSError,
    ValueError,
)


@attrs.frozen(eq=False)
class VectorFile:
    """What was read of a file: its geometries [N] in its own coordinates, none of them empty;
    ``columns``: property -> values [N], those asked for that it has; what it calls its CRS."""

    geometries: NDArray[Any]
    columns: Mapping[str, Sequence[Any]]
    crs: str | None

    def column(self, name: str) -> Sequence[Any]:
        """The values of a property [N], ``None`` where the file does not have it."""
        return self.columns.get(name, [None] * len(self.geometries))


def read_file(
    uri: str, columns: Sequence[str], kernel: Kernel, layer: str | None = None
) -> VectorFile:
    """The features of a file, or of one layer of it, with the properties asked for.

    Raises the storage's errors; `DataError` for a file that cannot be read, one of several layers
    of which none was chosen, and one of features in several CRSs.
    """
    shown = without_secrets(uri)
    suffix = _suffix(uri)
    with _on_disk(uri, suffix, kernel) as path:
        try:
            if suffix in _PARQUET and "Parquet" not in pyogrio.list_drivers(read=True):
                from rv_pipeline.vectors._parquet import read_parquet

                geometries, found, crs = read_parquet(path, columns)
            else:
                if suffix in _GEOJSON:
                    _check_one_crs(path, shown)
                chosen = _layer_of(path, shown, layer)
                geometries, found, crs = _read(path, columns, chosen)
        except _ERRORS as error:
            reason = " ".join(str(error).split()).replace(str(path), shown)
            raise DataError(
                f"cannot read the vectors in {shown}: {reason}",
                hint="is it whole, and GeoJSON or another format that GDAL reads?",
            ) from error
    there = ~(shapely.is_missing(geometries) | shapely.is_empty(geometries))
    kept = {
        name: [value for value, keep in zip(values, there.tolist(), strict=True) if keep]
        for name, values in found.items()
    }
    return VectorFile(geometries[there], kept, crs)


def property_names(uri: str, kernel: Kernel, layer: str | None = None) -> list[str]:
    """The properties of the features of a file that `read_file` reads."""
    suffix = _suffix(uri)
    with _on_disk(uri, suffix, kernel) as path:
        if suffix in _PARQUET and "Parquet" not in pyogrio.list_drivers(read=True):
            from rv_pipeline.vectors._parquet import parquet_columns

            return parquet_columns(path)
        chosen = _layer_of(path, without_secrets(uri), layer)
        names: list[str] = pyogrio.read_info(path, layer=chosen)["fields"].tolist()
        return names


def _suffix(uri: str) -> str:
    return PurePosixPath(without_secrets(uri).lower()).suffix


def _read(
    path: Path, columns: Sequence[str], layer: str | None
) -> tuple[NDArray[Any], dict[str, list[Any]], str | None]:
    meta, _, wkb, values = pyogrio.raw.read(path, layer=layer, columns=list(columns), force_2d=True)
    if wkb is None:
        raise ValueError("it has no geometries")
    found = {
        name: column.tolist() for name, column in zip(meta["fields"].tolist(), values, strict=True)
    }
    return shapely.from_wkb(wkb), found, meta["crs"]


def _layer_of(path: Path, shown: str, layer: str | None) -> str | None:
    """The layer to read; ``None`` where there is but one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layers = [
            (str(name), None if kind is None else str(kind))
            for name, kind in pyogrio.list_layers(path).tolist()
        ]
    names = [name for name, _ in layers]
    if layer is not None:
        if layer not in names:
            raise DataError(
                f"{shown} has no layer {layer!r}", hint=f"it has {', '.join(names) or 'none'}"
            )
        return layer
    with_places = [name for name, kind in layers if kind is not None]
    if len(with_places) > 1:
        listed = ", ".join(f"{name} ({_crs_of(path, name)})" for name in with_places)
        raise DataError(
            f"{shown} holds several layers: {listed}",
            hint="say which one: 'layer' in the labels; areas of interest in a file of their own",
        )
    return with_places[0] if with_places and len(names) > 1 else None


def _crs_of(path: Path, layer: str) -> str:
    return str(pyogrio.read_info(path, layer=layer)["crs"] or "no CRS")


def _check_one_crs(path: Path, shown: str) -> None:
    """Files that were put together by hand may name a CRS for each feature, of which GDAL sees
    none but the file's."""
    text = path.read_bytes()
    if text.count(b'"crs"') < 2:
        return
    with suppress(ValueError, AttributeError, TypeError):
        data = json.loads(text)
        parts = [data, *data.get("features", [])]
        named = {json.dumps(part["crs"], sort_keys=True) for part in parts if part.get("crs")}
        if len(named) > 1:
            names = sorted(str(_name_in(json.loads(crs))) for crs in named)
            raise DataError(
                f"{shown} mixes features of several CRSs: {', '.join(names)}",
                hint="bring them into one, or keep them in files of their own",
            )


def _name_in(crs: Any) -> Any:
    return crs["properties"]["name"] if "properties" in crs else crs


@contextmanager
def _on_disk(uri: str, suffix: str, kernel: Kernel) -> Iterator[Path]:
    """The file on this machine, with what belongs beside it."""
    if suffix != ".shp" or kernel.filesystem(uri).is_local:
        path = kernel.files.local_path(uri)
        if suffix == ".shp":
            _check_beside(uri, {p.suffix.lower() for p in path.parent.glob(f"{path.stem}.*")})
        yield path
        return
    folder = Path(tempfile.mkdtemp(prefix="rv-shapefile-"))
    try:
        stem, extension, query = _SHAPEFILE.split(uri, maxsplit=1)
        upper = extension.isupper()
        found = set()
        for part in (suffix, *_BESIDE):
            try:
                kernel.files.copy(
                    f"{stem}{part.upper() if upper else part}{query}",
                    str(folder / f"shape{part}"),
                )
                found.add(part)
            except NotFoundError:
                if part == suffix:
                    raise
        _check_beside(uri, found)
        yield folder / "shape.shp"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_beside(uri: str, found: set[str]) -> None:
    for part in _NEEDED:
        if part not in found:
            raise DataError(
                f"{without_secrets(uri)} is not whole: its {part} file is not beside it",
                hint="a Shapefile is several files of one name: .shp, .shx, .dbf and .prj",
            )

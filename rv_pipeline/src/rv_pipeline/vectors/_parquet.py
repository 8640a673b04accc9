"""GeoParquet, where GDAL was built without it (https://geoparquet.org/releases/v1.1.0/)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import shapely

from rv_core import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_parquet(
    path: Path, columns: Sequence[str]
) -> tuple[NDArray[Any], dict[str, list[Any]], str | None]:
    """Geometries, the columns asked for, and the CRS. Raises `ValueError` for what is no
    GeoParquet, `DataError` where pyarrow is not installed."""
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(
            "GeoParquet needs pyarrow, which is not installed",
            hint='pip install "rv-pipeline[geoparquet]"',
        ) from error
    file = parquet.ParquetFile(path)
    about = (file.schema_arrow.metadata or {}).get(b"geo")
    if about is None:
        raise ValueError("it is Parquet without geometries: there is no 'geo' in its metadata")
    geo = json.loads(about)
    name = geo["primary_column"]
    column = geo["columns"][name]
    if column.get("encoding") != "WKB":
        raise ValueError(f"its geometries are encoded as {column.get('encoding')}, not as WKB")
    wanted = [c for c in columns if c in file.schema_arrow.names]
    table = file.read(columns=[name, *wanted])
    geometries = shapely.force_2d(shapely.from_wkb(table[name].to_numpy(zero_copy_only=False)))
    return geometries, {c: table[c].to_pylist() for c in wanted}, _crs(column)


def parquet_columns(path: Path) -> list[str]:
    """The names of all columns."""
    from pyarrow import parquet

    names: list[str] = parquet.read_schema(path).names
    return names


def _crs(column: Any) -> str | None:
    """The default, where the file says nothing, is longitude and latitude: OGC:CRS84."""
    if "crs" not in column:
        return "OGC:CRS84"
    return None if column["crs"] is None else json.dumps(column["crs"])

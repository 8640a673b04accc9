"""The version of this distribution, as it is installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("rv-pipeline")
except PackageNotFoundError:  # run from its source folder
    VERSION = "0+unknown"

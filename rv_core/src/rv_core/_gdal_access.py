"""How GDAL gets at a file by itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import attrs


@attrs.frozen
class GdalAccess:
    """What GDAL is told so that it reads a file where it lies, as the storage would.

    ``path``: what it opens, such as ``/vsis3/bucket/key``. ``options``: its configuration, name ->
    value, while the file is opened and read. Both may hold secrets: they are left out of `repr`,
    and whoever passes them on keeps them out of logs and messages. ``expires``: when credentials
    among them end (timezone-aware), ``None`` where they do not; ask again before.
    """

    path: str = attrs.field(repr=False)
    options: Mapping[str, str] = attrs.field(repr=False)
    expires: datetime | None = None

"""What storage over a network shares: retries, ranged downloads, seekable reading, parallel work.

For authors of storage plugins; needs the extra ``rv-core[transfers]``. A plugin says how to ask
for a range of a file (`RangeSource`); `download` and `open_reader` do the rest and keep the
promises: constant memory, resuming at the byte, one version from end to end, no hanging.
"""

from rv_core.transfers._download import PART_BYTES, download
from rv_core.transfers._flights import Cancelled
from rv_core.transfers._parallel import run_parallel
from rv_core.transfers._reader import RangeReader, open_reader
from rv_core.transfers._retries import Retries
from rv_core.transfers._source import Body, ChangedError, Piece, RangeSource
from rv_core.transfers._speed import SpeedGuard

__all__ = [
    "PART_BYTES",
    "Body",
    "Cancelled",
    "ChangedError",
    "Piece",
    "RangeReader",
    "RangeSource",
    "Retries",
    "SpeedGuard",
    "download",
    "open_reader",
    "run_parallel",
]

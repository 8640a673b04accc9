"""Where Swift keeps each kind of data: on one disk, once.

``/usr/bin/python3 make_rings.py <folder> <kind>=<port>...`` writes ``<kind>.ring.gz``, what
``swift-ring-builder`` would in three runs a kind.
"""

import sys
from pathlib import Path

from swift.common.ring import RingBuilder

folder, *kinds = sys.argv[1:]
for word in kinds:
    kind, _, port = word.partition("=")
    ring = RingBuilder(part_power=4, replicas=1, min_part_hours=0)
    place = {"ip": "127.0.0.1", "port": int(port), "device": "disk"}
    ring.add_dev({"region": 1, "zone": 1, "weight": 1, **place})
    ring.rebalance()
    ring.get_ring().save(str(Path(folder, f"{kind}.ring.gz")))

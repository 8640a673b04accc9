"""Where Swift keeps each kind of data: objects on two disks, for an object server that replaces an
object may miss it for a moment, and another copy is asked for then; all else on one.

``/usr/bin/python3 make_rings.py <folder> <kind>=<port>...`` writes ``<kind>.ring.gz``, what
``swift-ring-builder`` would in several runs a kind.
"""

import sys
from pathlib import Path

from swift.common.ring import RingBuilder

folder, *kinds = sys.argv[1:]
for word in kinds:
    kind, _, port = word.partition("=")
    copies = 2 if kind == "object" else 1
    ring = RingBuilder(part_power=4, replicas=copies, min_part_hours=0)
    for number in range(1, copies + 1):
        place = {"ip": "127.0.0.1", "port": int(port), "device": f"disk{number}"}
        ring.add_dev({"region": 1, "zone": number, "weight": 1, **place})
    ring.rebalance()
    ring.get_ring().save(str(Path(folder, f"{kind}.ring.gz")))

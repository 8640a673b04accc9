"""Runs one of Swift's servers with the settings of a folder other than /etc/swift.

``/usr/bin/python3 serve.py <folder> <account|container|object|proxy>``: Swift's own commands read
``swift.conf`` from a fixed place, and Swift is installed for the system's Python only.
"""

import sys
from pathlib import Path

from swift.common.utils import set_swift_dir
from swift.common.wsgi import run_wsgi

folder, kind = sys.argv[1:]
set_swift_dir(folder)
sys.exit(run_wsgi(str(Path(folder, f"{kind}.conf")), f"{kind}-server", verbose=True))

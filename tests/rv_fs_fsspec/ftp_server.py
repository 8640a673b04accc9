"""An FTP server on loopback: ``ftp_server.py FOLDER PASSWORD``; says its port."""

from __future__ import annotations

import logging
import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import ThreadedFTPServer

logging.basicConfig(level=logging.ERROR)
users = DummyAuthorizer()
users.add_user("user", sys.argv[2], sys.argv[1], perm="elradfmwMT")


class Handler(FTPHandler):
    authorizer = users


server = ThreadedFTPServer(("127.0.0.1", 0), Handler)
sys.stdout.write(f"{server.address[1]}\n")
sys.stdout.flush()
server.serve_forever()

"""An echo as a greenlet for each connection: ``echo_gevent.py PORT``."""

import socket
import sys
from typing import Any

from gevent.server import StreamServer


def echo(connection: Any, address: tuple[str, int]) -> None:
    """Send back what comes until the end."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := connection.recv(65536):
        connection.sendall(data)


StreamServer(("127.0.0.1", int(sys.argv[1])), echo, backlog=4096).serve_forever()

"""An echo through `TcpServer`: ``echo_yolanda.py PORT``."""

import sys

from yolanda import Buffer, EventLoop, TcpConnection, TcpServer


def echo(connection: TcpConnection, buffer: Buffer) -> None:
    """Send back what comes."""
    connection.send(buffer.retrieve_all())


with EventLoop() as loop:
    server = TcpServer(loop, f"127.0.0.1:{sys.argv[1]}", on_message=echo)
    server.start()
    loop.run()

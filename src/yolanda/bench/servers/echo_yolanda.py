"""An echo through `TcpServer`: ``echo_yolanda.py PORT [REACTORS]``."""

import sys

from yolanda import Buffer, EventLoop, TcpConnection, TcpServer


def echo(connection: TcpConnection, buffer: Buffer) -> None:
    """Send back what comes."""
    connection.send(buffer.retrieve_all())


with EventLoop() as loop:
    port, *reactors = sys.argv[1:]
    server = TcpServer(loop, f"127.0.0.1:{port}", on_message=echo, threads=sum(map(int, reactors)))
    server.start()
    loop.run()

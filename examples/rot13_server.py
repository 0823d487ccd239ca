"""Letters turned by thirteen places: what comes in goes out again, for telnet or nc.

$ python examples/rot13_server.py [ADDRESS]
"""

import codecs
import sys

from yolanda import Buffer, EventLoop, TcpConnection, TcpServer

TABLE = bytes(ord(codecs.encode(chr(code), "rot13")) for code in range(256))


def rot13(connection: TcpConnection, buffer: Buffer) -> None:
    connection.send(buffer.retrieve_all().translate(TABLE))


def main(address: str = "127.0.0.1:43211") -> None:
    with EventLoop() as loop:
        server = TcpServer(loop, address, on_message=rot13, threads=2)
        server.run(5.0, on_started=lambda: print(f"serving {server.address}", flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Sends lines of the keyboard to a server and prints what comes back; tries until it is there.

$ python examples/line_client.py [ADDRESS]
"""

import os
import sys

from yolanda import Backoff, Channel, EventLoop, TcpClient, TcpConnection, framing


def on_line(connection: TcpConnection, line: bytes) -> None:
    print(line.decode(errors="replace"), flush=True)


def main(address: str = "127.0.0.1:43211") -> None:
    with EventLoop() as loop:
        keyboard = Channel(sys.stdin.fileno())

        def read_keyboard() -> None:
            connection = client.connection
            assert connection is not None  # the keyboard is watched only while there is one
            line = os.read(keyboard.fd, 4096)
            if line:
                connection.send(line)
            else:
                loop.remove_channel(keyboard)
                connection.shutdown()

        def on_connected(connection: TcpConnection) -> None:
            print(f"connected to {connection.peer_address}", file=sys.stderr, flush=True)
            loop.add_channel(keyboard)

        def on_end(*_: object) -> None:
            if keyboard.loop is not None:
                loop.remove_channel(keyboard)
            loop.stop()

        keyboard.on_read = read_keyboard
        keyboard.enable_reading()
        client = TcpClient(
            loop,
            address,
            on_connection_completed=on_connected,
            on_message=framing.lines(on_line),
            on_connection_closed=on_end,
            on_connect_failed=on_end,
            retry=Backoff(first=0.1, attempts=20),
        )
        client.connect()
        loop.run()


if __name__ == "__main__":
    main(*sys.argv[1:])

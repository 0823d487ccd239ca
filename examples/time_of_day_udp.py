"""Answers every datagram with the time.

$ python examples/time_of_day_udp.py [ADDRESS]
$ echo | nc -u -w1 127.0.0.1 43211
"""

import signal
import sys
import time

from yolanda import Address, DatagramEndpoint, EventLoop


def on_datagram(endpoint: DatagramEndpoint, data: bytes, sender: Address | None) -> None:
    if sender is not None:
        endpoint.send_to(time.ctime().encode() + b"\n", sender)


def main(address: str = "127.0.0.1:43211") -> None:
    with EventLoop() as loop:
        endpoint = DatagramEndpoint(loop, address, on_datagram=on_datagram)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, loop.stop)
        endpoint.start()
        print(f"serving {endpoint.address}", flush=True)
        loop.run()
        endpoint.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

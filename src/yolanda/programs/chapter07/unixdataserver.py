"""Answer datagrams that come to a local path.

Chapter 7.  As udpserver, with paths for addresses.  A client that is to be answered must have a
path, too: unlike UDP, the kernel gives it none of its own accord.  And unlike UDP, nothing is lost
on the way: who sends to a path that nobody has, or that somebody does not read from, is told or
has to wait.  This server does not wait, for its other clients' sake.

\b
    $ yolanda run unixdataserver /tmp/unixdata.sock
    $ yolanda run unixdataclient /tmp/unixdata.sock                 (in another terminal)
    $ yolanda run unixdataclient /tmp/unixdata.sock --no-bind
"""

import socket

import click

from yolanda.programs.blocking import endpoint, explain, local_server, run_program, visible

LONGEST = 1 << 20
"""Bytes to make room for; the sender's SO_SNDBUF limits a datagram, to 208 KiB by default."""


@click.command("unixdataserver", help=__doc__)
@click.argument("local_path")
def main(local_path: str) -> None:
    """Receive, answer, and so on until Ctrl+C."""
    with local_server(local_path, socket.SOCK_DGRAM) as server:
        print(f"listening on {endpoint(server.getsockname())}")
        while True:
            message, client = server.recvfrom(LONGEST)  # an empty one is a datagram, and no end
            print(f"Receive: {visible(message)}")
            if not client:
                print("nobody to answer: the client has no path")
                continue
            answer = b"Hi, " + message
            print(f"now sending: {visible(answer)}")
            try:
                server.sendto(answer, socket.MSG_DONTWAIT, client)
            except OSError as error:  # the client has gone, or does not read
                print(f"sendto {endpoint(client)} failed: {explain(error)}")


if __name__ == "__main__":
    run_program(main)

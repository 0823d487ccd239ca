"""Send lines as datagrams to a local path, from a path of its own.

Chapter 7.  The client binds its socket to a temporary path, so that the server has somewhere to
send its answer, and removes it in the end; with ``--no-bind`` it waits in vain.  (A UDP client is
given a port by the kernel when it first sends.)  Without a server it is told at once, as it would
not be with UDP.

\b
    $ yolanda run unixdataserver /tmp/unixdata.sock
    $ yolanda run unixdataclient /tmp/unixdata.sock                 (in another terminal)
    $ yolanda run unixdataclient /tmp/unixdata.sock --no-bind --timeout 1
"""

import contextlib
import os
import socket
import sys
import tempfile

import click

from yolanda.programs.blocking import (
    failed,
    local_address,
    local_server,
    named,
    run_program,
    visible,
)

LONGEST = 1 << 20
"""Bytes to make room for; the sender's SO_SNDBUF limits a datagram, to 208 KiB by default."""


@click.command("unixdataclient", help=__doc__)
@click.argument("local_path")
@click.option(
    "--timeout",
    type=click.FloatRange(0, 86400),
    default=0,
    show_default=True,
    metavar="SECONDS",
    help="Give up an answer that is not there after so long; 0: never.",
)
@click.option("--bind/--no-bind", default=True, help="Bind the socket, or leave it nameless.")
def main(local_path: str, timeout: float, bind: bool) -> None:
    """Send each line, and print its answer."""
    with contextlib.ExitStack() as stack:
        if bind:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="unixdataclient-"))
            own_path = os.path.join(folder, "sock")
            client = stack.enter_context(local_server(own_path, socket.SOCK_DGRAM))
        else:
            client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        client.settimeout(timeout or None)
        for line in sys.stdin.buffer:
            message = line.rstrip(b"\r\n")
            print(f"now sending {message.decode(errors='replace')}")
            try:
                client.sendto(message, local_address(local_path))
            except OSError as error:
                raise failed(f"sendto {named(local_path)} failed", error) from error
            try:
                answer = client.recv(LONGEST)
            except OSError as error:
                raise failed("recvfrom failed", error) from error
            print(visible(answer))


if __name__ == "__main__":
    run_program(main)

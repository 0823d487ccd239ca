"""Answer each datagram, whoever sent it.

Chapter 6.  There is nothing to accept and nobody to say goodbye to: one socket serves all clients,
and every datagram brings the address that its answer goes to.  Watch two clients take turns, then
start this server again while they run: they go on as if nothing had happened.  Ctrl+C says how
many datagrams came.

\b
    $ yolanda run udpserver
    $ yolanda run udpclient 127.0.0.1          (in two other terminals)
"""

import click

from yolanda.programs.blocking import PORT, endpoint, explain, run_program, udp_server, visible


@click.command("udpserver", help=__doc__)
@click.option(
    "--bind",
    "host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Where to receive; 0.0.0.0: on every address.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="0: one the kernel chooses.",
)
def main(host: str, port: int) -> None:
    """Receive, answer, and so on until Ctrl+C."""
    count = 0
    with udp_server(host, port) as server:
        print(f"listening on {endpoint(server.getsockname())}")
        try:
            while True:
                message, client = server.recvfrom(65535)
                count += 1
                print(f"received {len(message)} bytes: {visible(message)}")
                try:
                    server.sendto(b"Hi, " + message, client)
                except OSError as error:  # four bytes more may be too many for a datagram
                    print(f"sendto {endpoint(client)} failed: {explain(error)}")
        except KeyboardInterrupt:
            print(f"\nreceived {count} datagrams")
            raise


if __name__ == "__main__":
    run_program(main)

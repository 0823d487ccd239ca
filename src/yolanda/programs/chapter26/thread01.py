"""A thread for each connection.

Chapter 26.  As `fork01`, but a thread costs less than a process, and shares all memory with the
others.  Watch the number of threads rise and fall with the clients.

\b
    $ yolanda run thread01
    $ telnet 127.0.0.1 43211                (in another terminal; several)
    $ ps -o pid,nlwp,cmd -p PID             (nlwp: how many threads)
"""

import socket
import threading
import time

import click

from yolanda.programs.blocking import (
    MAX_LINE,
    endpoint,
    explain,
    rot13,
    run_program,
    tcp_server_listen,
)


def loop_echo(connection: socket.socket) -> None:
    """Answer each line in rot13, until the client has no more."""
    line = b""
    while piece := connection.recv(MAX_LINE):
        whole, newline, line = (line + piece).rpartition(b"\n")
        if len(line) > MAX_LINE:  # rot13 needs no whole line, so a long one goes in parts
            whole, newline, line = whole + newline + line, b"", b""
        connection.sendall(rot13(whole + newline))


def thread_run(connection: socket.socket) -> None:
    """Serve one connection from its first byte to its last."""
    fd, tid = connection.fileno(), threading.get_ident()
    print(f"new thread, fd == {fd}, tid == {tid}\n", end="")  # in one piece, beside others'
    reason = ""
    try:
        with connection:
            loop_echo(connection)
    except OSError as error:  # the course ends the program here, and all other clients with it
        reason = f": {explain(error)}"
    print(f"end of thread, fd == {fd}, tid == {tid}{reason}\n", end="")


@click.command("thread01", help=__doc__)
@click.option(
    "--bind",
    "host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Where to listen.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=43211,
    show_default=True,
    help="0: one the kernel chooses.",
)
def main(host: str, port: int) -> None:
    """Accept, and start a thread for each connection."""
    with tcp_server_listen(host, port) as listener:
        print(f"listening on {endpoint(listener.getsockname())}")
        while True:
            try:
                connection, _ = listener.accept()
            except OSError as error:  # as many clients as descriptors: wait until some have left
                print(f"accept failed: {explain(error)}\n", end="")
                time.sleep(1)
                continue
            # Nobody joins it: a daemon, as the course's detached thread, ends with the program.
            thread = threading.Thread(target=thread_run, args=(connection,), daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # too many threads: this client is turned away
                print(f"{error}\n", end="")
                connection.close()


if __name__ == "__main__":
    run_program(main)

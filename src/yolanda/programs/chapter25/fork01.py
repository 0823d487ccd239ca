"""A process for each connection, and none of them left a zombie.

Chapter 25.  The parent accepts and forks; the child answers each line in rot13 until its client
leaves.  Watch the process table: what a dead child leaves there stays until its parent has asked
how it ended, and ``--reap`` says how well the parent does that.

\b
    $ yolanda run fork01 --reap never
    $ telnet 127.0.0.1 43211                (in two others; leave with Ctrl+] and quit)
    $ ps -o pid,ppid,stat,cmd --ppid PID    (Z: a zombie)
"""

import os
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

import click

from yolanda.programs.blocking import (
    MAX_LINE,
    endpoint,
    explain,
    rot13,
    run_program,
    tcp_server_listen,
)


def child_run(connection: socket.socket) -> None:
    """Answer each line in rot13, until the client has no more."""
    line = b""
    try:
        while piece := connection.recv(MAX_LINE):
            whole, newline, line = (line + piece).rpartition(b"\n")
            if len(line) > MAX_LINE:  # rot13 needs no whole line, so a long one goes in parts
                whole, newline, line = whole + newline + line, b"", b""
            connection.sendall(rot13(whole + newline))
    except OSError as error:
        print(f"process {os.getpid()}: {explain(error)}\n", end="")


def sigchld_handler(number: int, frame: FrameType | None) -> None:
    """Reap every child that has ended: one signal may stand for several of them."""
    while reap_one():
        continue


def sigchld_handler_once(number: int, frame: FrameType | None) -> None:
    """What the chapter asks about: one signal, one child."""
    reap_one()


def reap_one() -> bool:
    """Take one ended child off the process table, if there is one; never wait for one."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:  # there are no children at all
        return False
    if pid:
        # Not print: the signal may have come in the middle of one, which cannot be entered twice.
        ended = f"process {pid} reaped, status {os.waitstatus_to_exitcode(status)}\n"
        os.write(sys.stdout.fileno(), ended.encode())
    return pid != 0


ON_SIGCHLD: dict[str, signal.Handlers | Callable[[int, FrameType | None], None]] = {
    "all": sigchld_handler,
    "once": sigchld_handler_once,
    "never": signal.SIG_DFL,  # nobody asks: zombies until the parent ends
    "ignore": signal.SIG_IGN,  # the kernel is told that nobody will, and keeps none
}


@click.command("fork01", help=__doc__)
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
@click.option(
    "--reap",
    type=click.Choice(list(ON_SIGCHLD)),
    default="all",
    show_default=True,
    help="On SIGCHLD reap all that have ended, or one; never reap; or have the kernel do it.",
)
def main(host: str, port: int, reap: str) -> None:
    """Accept, and fork a process for each connection."""
    with tcp_server_listen(host, port) as listener:
        signal.signal(signal.SIGCHLD, ON_SIGCHLD[reap])
        print(f"listening on {endpoint(listener.getsockname())}")
        while True:
            connection, peer = listener.accept()
            with connection:  # the parent's copy; the child has its own
                try:
                    pid = os.fork()
                except OSError as error:  # too many processes: this client is turned away
                    print(f"fork: {explain(error)}\n", end="")
                    continue
                if pid == 0:
                    run_child(listener, connection)
                print(f"process {pid} serves {endpoint(peer)}\n", end="")


def run_child(listener: socket.socket, connection: socket.socket) -> None:
    """Be the child: serve, and end here, whatever happens; what follows is the parent's."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        listener.close()
        child_run(connection)
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    run_program(main)

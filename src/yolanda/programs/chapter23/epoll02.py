"""Leave what arrives unread, and be told of it once.

Chapter 23, together with epoll03.  Edge-triggered: ``epoll_wait`` tells of bytes when they
arrive, and then no more, though they are still there.  Type a second line and it tells again:
that is another edge.

\b
    $ yolanda run epoll02 --wakeups 5
    $ telnet 127.0.0.1 43211          (in another terminal; type something)
"""

import select
import socket

import click

from yolanda.programs.blocking import endpoint, run_program, tcp_server_listen


@click.command("epoll02", help=__doc__)
@click.option("--bind", "host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=43211,
    show_default=True,
    help="0: one that the kernel chooses.",
)
@click.option(
    "--wakeups",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="End after this many; 0, as in the course: never.",
)
def main(host: str, port: int, wakeups: int) -> None:
    """Listen, accept, and read nothing."""
    if not hasattr(select, "epoll"):
        raise click.ClickException("epoll is Linux's own, this system has none")
    with tcp_server_listen(host, port) as listener, select.epoll() as efd:
        print(f"listening on {endpoint(listener.getsockname())}")
        wait(listener, efd, wakeups)


def wait(listener: socket.socket, efd: "select.epoll", wakeups: int) -> None:
    """Say each time that epoll_wait wakes, and for whom."""
    connections: dict[int, socket.socket] = {}
    listener.setblocking(False)
    efd.register(listener, select.EPOLLIN | select.EPOLLET)
    woken = 0
    while not wakeups or woken < wakeups:
        events = efd.poll()
        woken += 1
        print("epoll_wait wakeup")
        for fd, happened in events:
            if fd == listener.fileno():
                for connection in accept_all(listener):
                    connections[connection.fileno()] = connection
                    # edge-triggered
                    wanted = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
                    efd.register(connection, wanted)
            elif happened & (select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR):
                print(f"socket fd == {fd} closed by the other end")
                connections.pop(fd).close()
            else:
                print(f"get event on socket fd == {fd}")


def accept_all(listener: socket.socket) -> list[socket.socket]:
    """Accept until there is nobody left: one edge may stand for many connections."""
    accepted = []
    while True:
        try:
            accepted.append(listener.accept()[0])
        except BlockingIOError:
            return accepted
        except ConnectionAbortedError:
            continue


if __name__ == "__main__":
    run_program(main)

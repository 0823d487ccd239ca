"""An echo as a bare epoll loop, ``echo_bare.py PORT``: the floor for anything written in Python.

It has no callbacks, no timers and no time-outs; only what does not fit into the kernel is queued,
because without that a large message would be lost.
"""

import select
import socket
import sys

READ_SIZE = 65536


def serve(port: int) -> None:
    """Serve for ever."""
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    listener.setblocking(False)
    epoll = select.epoll()
    epoll.register(listener.fileno(), select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    unsent: dict[int, bytes] = {}
    listening = listener.fileno()
    while True:
        for fd, events in epoll.poll():
            if fd == listening:
                connection, _ = listener.accept()
                connection.setblocking(False)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connections[connection.fileno()] = connection
                epoll.register(connection.fileno(), select.EPOLLIN)
                continue
            connection = connections[fd]
            try:
                data = unsent.pop(fd, b"") if events & select.EPOLLOUT else b""
                if events & ~select.EPOLLOUT:
                    received = connection.recv(READ_SIZE)
                    if not received:
                        raise ConnectionResetError
                    data = unsent.pop(fd, data) + received
                try:
                    sent = connection.send(data)
                except BlockingIOError:
                    sent = 0
                if sent < len(data):
                    unsent[fd] = data[sent:]
                    epoll.modify(fd, select.EPOLLIN | select.EPOLLOUT)
                elif events & select.EPOLLOUT:
                    epoll.modify(fd, select.EPOLLIN)
            except ConnectionError:
                epoll.unregister(fd)
                connections.pop(fd).close()
                unsent.pop(fd, None)


if __name__ == "__main__":
    serve(int(sys.argv[1]))

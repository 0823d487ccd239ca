"""An echo with a thread for each connection: ``echo_threads.py PORT``.  (Course, chapter 26.)

A connection for which no thread can be started is closed; of the first, it says so.
"""

import socket
import sys
import threading

READ_SIZE = 65536


def serve(connection: socket.socket) -> None:
    """Send back what comes, until its end."""
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while data := connection.recv(READ_SIZE):
                connection.sendall(data)
        except ConnectionError:
            pass  # the client has gone


def main() -> None:
    """Accept for ever."""
    told = False
    with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4096) as listener:
        while True:
            connection, _ = listener.accept()
            try:
                threading.Thread(target=serve, args=(connection,), daemon=True).start()
            except RuntimeError as error:
                connection.close()
                if not told:
                    told = True
                    sys.stderr.write(f"{error} beside {threading.active_count():,} others\n")


if __name__ == "__main__":
    main()

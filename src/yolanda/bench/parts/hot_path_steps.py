"""What each step of a request costs: ``python -m yolanda.bench.parts.hot_path_steps SECONDS``.

The objects of a real server are used, in this process and without a profiler.  Their steps are
called again and again, each by itself, with what it gets from the step before; the whole turn of
the loop is measured as well, with real connections over the loopback interface, and what it takes
beyond its known steps is the reactor's and the connection's own.  All is processor time of this
thread.  Prints seconds a request as JSON: for each request, its steps in their order.

In a server that is loaded, caches and branch predictors know less than here, and it sleeps and is
woken: there a request costs more than the sum.
"""

import contextlib
import itertools
import json
import os
import re
import select
import socket
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from yolanda import Buffer, EventLoop, TcpConnection
from yolanda.bench.servers.pages import PAGE
from yolanda.http import HttpLimits, HttpRequest, HttpResponse, HttpServer
from yolanda.http.codec import Parser, RequestDecoder, ResponseEncoder, SharedParsers
from yolanda.http.connection import HttpConnection, HttpContext
from yolanda.reactor.event_loop import Worker

CONNECTIONS = 64  # that are ready in one turn
REPEATS = 256  # of a step, in one measurement


def browser_request() -> bytes:
    """Return the request of ``browser.lua``."""
    script = Path(__file__).parents[1] / "clients" / "browser.lua"
    fields = re.findall(r'^  "([A-Z].*: .*)",$', script.read_text(), re.MULTILINE)
    return "\r\n".join(["GET / HTTP/1.1", *fields, "", ""]).encode()


REQUESTS = {
    "small GET": b"GET / HTTP/1.1\r\nHost: 127.0.0.1:43211\r\n\r\n",
    "browser's GET": browser_request(),
}


TOGETHER = "together"
KERNEL = ("epoll_wait, by the event", "read", "send")
"""The steps that are system calls."""


def changed(request: bytes) -> list[bytes]:
    """Return requests of which a server that remembers some meets none again in time."""
    return [
        request.replace(b"GET / ", b"GET /?number=%d " % number).replace(
            b"visited=1763971200", b"visited=%d" % (1763971200 + number)
        )
        for number in range(5000)
    ]


def on_request(request: HttpRequest, response: HttpResponse) -> None:
    """Answer as the server does that is measured under load."""
    match request.path:
        case "/":
            response.body = PAGE
            response.content_type = "text/html"


class MuteConnection(TcpConnection):
    """Drops what it is to send: for all that comes before."""

    __slots__ = ()

    def send_in_loop(self, data: bytes) -> None:
        """Drop it."""


class RepeatedBuffer(Buffer):
    """Has the same request again whenever it is emptied."""

    __slots__ = ()

    def retrieve_all(self) -> bytes:
        """Return it."""
        return bytes(self._data)


def medians(steps: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Return the processor seconds of each step, which are measured in turn."""
    now = time.thread_time
    taken: dict[str, list[float]] = {name: [] for name in steps}
    end = time.perf_counter() + seconds
    while True:
        for name, step in steps.items():
            start = now()
            for _ in range(REPEATS):
                step()
            taken[name].append((now() - start) / REPEATS)
        if time.perf_counter() > end:
            return {name: statistics.median(values) for name, values in taken.items()}


def without_sockets(request: bytes, seconds: float, loop: EventLoop) -> dict[str, float]:
    """Measure what happens between ``read`` and ``send``."""
    limits = HttpLimits()
    shared = SharedParsers(limits)
    encoder = ResponseEncoder("Yolanda")
    decoder = RequestDecoder(shared)
    stranger = RequestDecoder(SharedParsers(limits))
    others = itertools.cycle(changed(request))
    parser = Parser()
    near, far = socket.socketpair()
    with near, far:
        connection = MuteConnection(loop, near)
        context = HttpContext(on_request, limits, False, shared, encoder)
        protocol = HttpConnection(connection, context)
        buffer = connection.input = RepeatedBuffer(request)
        inbox: list[Worker] = []

        def work() -> None:
            protocol.on_message(connection, buffer)
            protocol.decode()
            protocol.serve()
            protocol.flush()
            inbox.clear()

        def hand() -> None:
            response = HttpResponse()
            response.request = decoded
            response.status = 200
            response.plain = True
            response.field_lines = None
            on_request(decoded, response)

        decoder.decode_head(request, 0)
        assert decoder.request is not None
        decoded = decoder.request
        loop.inbox = inbox  # as in a turn
        taken = medians(
            {
                "nothing": lambda: None,
                "decode": lambda: decoder.decode_head(request, 0),
                "decode anew": lambda: stranger.decode_head(next(others), 0),
                "llhttp": lambda: parser.feed(request),
                "handler": hand,
                "encode": lambda: encoder.encode(200, "text/html", True, PAGE, loop.now),
                "message": work,
            },
            seconds,
        )
        loop.inbox = None
        return {name: value - taken["nothing"] for name, value in taken.items()}


def with_sockets(request: bytes, seconds: float, loop: EventLoop) -> dict[str, float]:
    """Measure whole turns of a loop with real connections, and their system calls."""
    server = HttpServer("127.0.0.1:0", on_request, loop=loop)
    server.start()
    port = server.address.port
    with contextlib.ExitStack() as stack:
        stack.callback(server.close)
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            for _ in range(CONNECTIONS)
        ]
        while server.connections < CONNECTIONS:
            loop.run_once(1)
        size = 0

        def ask() -> None:
            for client in clients:
                client.sendall(request)

        def take() -> None:
            for client in clients:
                left = size
                while left:
                    left -= len(client.recv(left))

        ask()
        while loop.run_once(0):
            pass
        response = clients[0].recv(65536)
        size = len(response)
        for client in clients[1:]:
            client.recv(65536)

        taken: list[float] = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or not taken:
            ask()
            start = time.thread_time()
            count = loop.run_once(0)
            spent = time.thread_time() - start
            while count < CONNECTIONS:  # one batch of events is smaller than that, if need be
                start = time.thread_time()
                count += loop.run_once(0)
                spent += time.thread_time() - start
            taken.append(spent / CONNECTIONS)
            take()
        return {"turn": statistics.median(taken), **system_calls(request, response, seconds)}


def system_calls(request: bytes, response: bytes, seconds: float) -> dict[str, float]:
    """Measure the calls of the kernel that a request makes, as Python makes them."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS))
        near: list[socket.socket] = []
        far: list[socket.socket] = []
        for _ in range(CONNECTIONS):
            far.append(stack.enter_context(socket.create_connection(listener.getsockname())))
            near.append(stack.enter_context(listener.accept()[0]))
        epoll = stack.enter_context(select.epoll())
        for each in near:
            each.setblocking(False)
            epoll.register(each.fileno(), select.EPOLLIN)
        numbers = [each.fileno() for each in near]
        sends = [each.send for each in near]
        waited: list[float] = []
        read: list[float] = []
        sent: list[float] = []
        now = time.thread_time
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or not sent:
            for each in far:
                each.sendall(request)
            start = now()
            epoll.poll(0)
            waited.append((now() - start) / CONNECTIONS)
            start = now()
            for number in numbers:
                os.read(number, 65536)
            read.append((now() - start) / CONNECTIONS)
            start = now()
            for send in sends:
                send(response)
            sent.append((now() - start) / CONNECTIONS)
            for each in far:
                each.recv(65536)
        return {
            name: statistics.median(values)
            for name, values in {"epoll_wait": waited, "read": read, "send": sent}.items()
        }


def steps_of(request: bytes, seconds: float) -> dict[str, float]:
    """Return the steps in their order, and their sum: the whole turn."""
    with EventLoop() as loop:
        inner = without_sockets(request, seconds, loop)
        outer = with_sockets(request, seconds, loop)
    message = inner["message"]
    known = outer["epoll_wait"] + outer["read"] + outer["send"] + message
    return {
        KERNEL[0]: outer["epoll_wait"],
        KERNEL[1]: outer["read"],
        "loop, channel and connection": outer["turn"] - known,
        "decoding the head, which is known": inner["decode"],
        "response object and handler": inner["handler"],
        "encoding the response": inner["encode"],
        "HTTP's order of things": message - inner["decode"] - inner["handler"] - inner["encode"],
        KERNEL[2]: outer["send"],
        TOGETHER: outer["turn"],
        "beside: decoding a head that is not known": inner["decode anew"],
        "beside: llhttp, of that": inner["llhttp"],
    }


def main() -> None:
    """Measure, and print."""
    share = float(sys.argv[1]) / 6
    figures = {name: steps_of(request, share) for name, request in REQUESTS.items()}
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()

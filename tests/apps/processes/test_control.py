import signal
import sys
from collections.abc import Iterator

import pytest

from yolanda.apps.processes.control import RequestLimit

from ..conftest import Client, Served, get, wait_until

INT, QUIT, TERM = signal.SIGINT, signal.SIGQUIT, signal.SIGTERM

# A process without a master: the same function serves.
PROGRAM = """
import sys
from yolanda import EventLoop
from yolanda.apps.processes.control import run_servers
from yolanda.http import HttpServer

def say(text):
    print(text, file=sys.stderr, flush=True)

def on_request(request, response):
    if request.path == "/never":
        response.defer()
    elif request.path == "/slow":
        response.defer()
        loop.call_later(0.3, finish, response)
    else:
        response.text("served")

def finish(response):
    response.text("slow")
    response.finish()

loop = EventLoop()
servers = [HttpServer("127.0.0.1:0", on_request, loop=loop) for _ in range(2)]
status = run_servers(
    None,
    servers,
    on_ready=lambda: say(f"serving {servers[0].address.port} {servers[1].address.port}"),
    on_reopen_logs=lambda: say("logs"),
    on_reload_certificates=lambda: say("certificates"),
)
loop.close()
say("closed")
sys.exit(status)
"""


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served([sys.executable, "-c", PROGRAM])
    yield served
    served.close()


def ports(served: Served) -> list[int]:
    return [int(port) for port in served.expect(r"serving (\d+ \d+)")[0].split()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_gracefully(served: Served, number: int) -> None:
    first, second = ports(served)
    assert get(first) == get(second) == "served"
    with Client(first) as one, Client(second) as other:
        one.ask()
        other.ask()
        one.send("/slow")
        other.send("/slow")
        served.send(number)
        assert one.read() == other.read() == "slow"
    assert served.wait() == 0
    assert served.text.endswith("closed")


def refuses(port: int) -> bool:
    try:
        get(port)
    except OSError:
        return True
    return False


@pytest.mark.parametrize("numbers", [[INT, INT], [TERM, INT], [QUIT], [TERM, QUIT]])
def test_it_ends_at_once(served: Served, numbers: list[int]) -> None:
    port = ports(served)[0]
    with Client(port) as client:
        client.ask()
        client.send("/never")
        served.send(numbers[0])
        if len(numbers) > 1:
            wait_until(lambda: refuses(port))  # or the two signals could be taken for one
            served.send(numbers[1])
        assert served.wait() == 0
        with pytest.raises((EOFError, ConnectionResetError)):
            client.read()
    assert served.text.endswith("closed")


def test_signals_for_logs_and_certificates(served: Served) -> None:
    port = ports(served)[0]
    served.send(signal.SIGUSR1)
    served.expect("logs")
    served.send(signal.SIGUSR2)
    served.expect("certificates")
    assert get(port) == "served"
    assert served.stop() == 0


def counted(limit: RequestLimit, told: list[str]) -> int:
    requests = 0
    while not told:
        limit.count()
        requests += 1
    return requests


def test_a_limit_of_requests() -> None:
    told: list[str] = []
    limit = RequestLimit(told.append, 5)
    assert counted(limit, told) == 5
    limit.count()
    assert told == ["it has served 5 requests"]  # once


def test_a_limit_with_jitter() -> None:
    def one() -> int:
        told: list[str] = []
        return counted(RequestLimit(told.append, 100, 50), told)

    limits = {one() for _ in range(100)}
    assert min(limits) >= 100
    assert max(limits) <= 150
    assert len(limits) > 10


@pytest.mark.parametrize(("limit", "jitter"), [(0, 0), (-1, 0), (5, -1)])
def test_limits_that_make_no_sense(limit: int, jitter: int) -> None:
    with pytest.raises(ValueError, match="1 request or more"):
        RequestLimit(print, limit, jitter)

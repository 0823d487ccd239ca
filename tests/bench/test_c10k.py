"""Ten thousand connections, here a few dozen: the crowd, what is measured of it, what is said."""

import contextlib
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from yolanda.bench import kernel_memory, results
from yolanda.bench.clients import crowd
from yolanda.bench.clients.crowd import ECHOED, Crowd
from yolanda.bench.contenders import Contender
from yolanda.bench.part import Missing, Settings
from yolanda.bench.parts import c10k
from yolanda.bench.results import PartResult

from .conftest import KeptProgress

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

MIB = 1 << 20
PLENTY = 1 << 40


class Listener:
    """Accepts connections in a thread, and leaves each to ``serve``, one after the other."""

    def __init__(self, serve: Callable[[socket.socket], object]) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._serve = serve
        self._accepted: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # closed
            self._accepted.append(connection)
            self._serve(connection)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for connection in self._accepted:
            connection.close()


@pytest.fixture
def listen() -> Iterator[Callable[[Callable[[socket.socket], object]], Listener]]:
    made: list[Listener] = []

    def listen(serve: Callable[[socket.socket], object]) -> Listener:
        made.append(Listener(serve))
        return made[-1]

    yield listen
    for listener in made:
        listener.close()


@pytest.fixture
def gathered() -> Iterator[Callable[[int], Crowd]]:
    made: list[Crowd] = []

    def make(port: int) -> Crowd:
        made.append(Crowd(port, ECHOED, len(ECHOED)))
        return made[-1]

    yield make
    for each in made:
        each.close()


Listen = Callable[[Callable[[socket.socket], object]], Listener]
Gathered = Callable[[int], Crowd]


# ---- the crowd -----------------------------------------------------------------------------


def test_everybody_who_gathers_was_answered(listen: Listen, gathered: Gathered) -> None:
    peers: set[str] = set()

    def echo(connection: socket.socket) -> None:
        peers.add(connection.getpeername()[0])
        connection.sendall(connection.recv(len(ECHOED), socket.MSG_WAITALL))

    member = gathered(listen(echo).port)
    done = member.gather(20)
    assert (done["members"], done["closed"], done["problem"]) == (20, 0, "")
    assert done["seconds"] > 0
    assert member.gather(30)["members"] == 30
    assert peers == {"127.0.0.2"}


def test_a_large_crowd_comes_from_several_addresses(
    listen: Listen, gathered: Gathered, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers: list[str] = []

    def echo(connection: socket.socket) -> None:
        peers.append(connection.getpeername()[0])
        connection.sendall(connection.recv(len(ECHOED), socket.MSG_WAITALL))

    monkeypatch.setattr(crowd, "PORTS_OF_A_SOURCE", 4)
    gathered(listen(echo).port).gather(10)
    assert peers == ["127.0.0.2"] * 4 + ["127.0.0.3"] * 4 + ["127.0.0.4"] * 2


def test_those_who_speak_keep_their_time(listen: Listen, gathered: Gathered) -> None:
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(ConnectionResetError):  # which is how the crowd leaves
            while data := connection.recv(len(ECHOED), socket.MSG_WAITALL):
                connection.sendall(data)

    def serve_in_thread(connection: socket.socket) -> None:
        threads.append(threading.Thread(target=serve, args=(connection,)))
        threads[-1].start()

    member = gathered(listen(serve_in_thread).port)
    member.gather(8)
    done = member.speak(4, rate=50, seconds=0.5)
    assert (done["words"], done["unanswered"], done["closed"]) == (100, 0, 0)
    assert done["seconds"] > 0.49
    assert done["trips"]["p50"] > 0
    assert "p99" not in done["trips"]  # of a hundred, one: that is chance
    member.close()
    for thread in threads:
        thread.join()


def test_a_server_that_does_not_answer_is_not_waited_for(
    listen: Listen, gathered: Gathered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "PATIENCE", 0.1)
    done = gathered(listen(lambda connection: None).port).gather(5)
    assert done["problem"] == "5 are not answered in 0 s"


def test_a_server_that_closes_connections_gets_no_more(listen: Listen, gathered: Gathered) -> None:
    done = gathered(listen(socket.socket.close).port).gather(2000)
    assert done["problem"] == "it closes connections"
    assert 0 < done["closed"] < 2000


def test_where_nobody_listens_the_crowd_says_so(gathered: Gathered) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    done = gathered(port).gather(5)
    assert done["members"] == 0
    assert done["problem"] == "connection 1 is refused: Connection refused [ECONNREFUSED]"


# ---- what the kernel keeps -------------------------------------------------------------------


def test_what_is_not_read_lies_in_the_kernels_buffers() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        listener.accept()[0],
    ):
        client.setblocking(False)
        written = 0
        try:
            while True:
                written += client.send(bytes(65536))
        except BlockingIOError:
            pass
        assert kernel_memory.buffers() > written // 2 > 65536 // 2
        assert kernel_memory.total() > kernel_memory.buffers()


def test_a_socket_is_an_object_of_the_kernel() -> None:
    objects = kernel_memory.objects()
    if not objects:
        pytest.skip("only root may read slabinfo")
    assert {"TCP", "filp"} <= objects.keys() <= set(kernel_memory.KINDS)
    assert all(size >= 0 for size in objects.values())


# ---- how many --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("short", "limit", "room", "crowds"),
    [
        (False, 20_000, PLENTY, (1_000, 5_000, 10_000, 19_900)),
        (False, 1 << 20, PLENTY, (1_000, 5_000, 10_000, c10k.MOST)),
        (False, 10_200, PLENTY, (1_000, 5_000, 10_000)),  # hardly more is no news
        (False, 4096, PLENTY, (1_000, 3_996)),
        (False, 1024, PLENTY, (924,)),
        (True, 20_000, PLENTY, (1_000,)),
        (True, 1024, PLENTY, (924,)),
        (False, 20_000, 200 * MIB, (1_000, 3_200)),
    ],
)
def test_the_crowds_are_what_the_machine_allows(
    short: bool, limit: int, room: int, crowds: tuple[int, ...]
) -> None:
    assert c10k._crowds(Settings(short=short), limit, room) == crowds


@pytest.mark.parametrize(("limit", "room"), [(256, PLENTY), (20_000, MIB)])
def test_with_too_little_there_is_nothing_to_measure(limit: int, room: int) -> None:
    with pytest.raises(Missing, match=f"may have {limit:,} descriptors"):
        c10k._crowds(Settings(), limit, room)


# ---- the part --------------------------------------------------------------------------------


def measured(
    monkeypatch: pytest.MonkeyPatch, *only: str, crowd: int = 60
) -> tuple[PartResult, KeptProgress]:
    monkeypatch.setattr(c10k, "SHORT_CROWDS", (crowd,))
    result, watcher = PartResult(c10k.PART.name), KeptProgress()
    settings = Settings(short=True, rounds=1, seconds=0.1, only=only, install=False)
    c10k.PART.measure(settings, watcher, result)
    return result, watcher


@pytest.mark.timeout(120)
def test_every_contender_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result, watcher = measured(monkeypatch)
    present = set(result.versions)
    assert {"yolanda", "yolanda-2-reactors", "yolanda-http", "asyncio", "threads"} <= present
    assert {point.contender for point in result.points} == present
    assert len(watcher.steps) == watcher.expected == 3 * len(present)
    for name in present:
        idle = result.find(name, {"speaking": "nobody speaks", "connections": 60})
        spoken = result.find(name, {"speaking": "1 in 10 speaks", "connections": 60})
        assert idle is not None
        assert spoken is not None
        assert idle.failure == spoken.failure == ""
        assert idle.samples[0]["memory"] > MIB
        assert idle.samples[0].keys() == {
            "accept", "accept_cpu", "memory", "memory_each", "client_ran",
            "idle_cpu",
        }  # fmt: skip
        assert idle.samples[0]["accept"] > 0
        assert spoken.samples[0]["p50"] > 0
        assert spoken.samples[0]["cpu"] > 0
    assert results.load(results.save(result, tmp_path)).points == result.points
    known = {figure.name for figure in c10k.FIGURES}
    assert all(sample.keys() <= known for point in result.points for sample in point.samples)


@pytest.mark.timeout(120)
def test_who_closes_connections_gives_up_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "few.py"
    program.write_text(
        "import socket, sys\n"
        "kept = []\n"
        "with socket.create_server(('127.0.0.1', int(sys.argv[1]))) as listener:\n"
        "    while True:\n"
        "        connection, _ = listener.accept()\n"
        "        data = connection.recv(64) if len(kept) < 5 else b''\n"
        "        if data:\n"
        "            kept.append(connection)\n"
        "            connection.sendall(data)\n"
        "        else:\n"
        "            connection.close()\n"
        "            if len(kept) == 5:\n"
        "                print('no more than', len(kept), flush=True)\n"
        "                kept.append(None)\n"
    )

    def entries(most: int) -> list[c10k.Entry]:
        command = [sys.executable, str(program)]
        few = Contender("threads", lambda port, folder: [*command, str(port)])
        return [c10k.Entry(few, http=False), *honest(most)[:1]]

    honest = c10k.entries
    monkeypatch.setattr(c10k, "entries", entries)
    result, watcher = measured(monkeypatch)
    point = result.find("threads", {"speaking": "nobody speaks"})
    assert point is not None
    assert not point.samples
    assert "of 60 it serves " in point.failure
    assert "it closes connections; no more than 5" in point.failure
    assert watcher.notes[0].startswith("threads gave up: of 60 it serves ")
    assert len(watcher.steps) == watcher.expected
    well = result.find("yolanda", {"speaking": "1 in 10 speaks"})
    assert well is not None
    assert well.samples
    said = [text for text in c10k.PART.findings(result) if "gives up" in text]
    assert len(said) == 1
    assert said[0].startswith("A thread for each gives up at 60: of 60 it serves ")


def test_none_of_those_that_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Missing, match="none of the contenders"):
        measured(monkeypatch, "nobody")


# ---- what is said of it ----------------------------------------------------------------------


def told(**changes: float) -> str:
    """What is said of figures that are made up."""
    result = PartResult("c10k")
    for name, each in (("yolanda", 1200.0), ("threads", 24_000.0), ("asyncio", 1800.0)):
        for size in (1_000, 10_000, 19_900):
            idle = {
                "memory_each": each, "kernel_each": 8192.0, "memory": size * each,
                "accept": size / 10_000, "idle_cpu": changes.get("idle_cpu", 0.0),
            }  # fmt: skip
            result.add(name, {"connections": size, "speaking": "nobody speaks"}, idle)
            for who in ("1 in 100 speaks", "1 in 10 speaks"):
                spoken = {"p99": size / 1e6, "cpu": 10e-6, "late": changes.get("late", 0.0)}
                result.add(name, {"connections": size, "speaking": who}, spoken)
    return "\n".join(c10k.findings(result))


def test_the_findings_hold_the_figures() -> None:
    text = told()
    assert (
        "Each of 10,000 connections that has spoken and is idle takes 1.2 KiB with Yolanda's "
        "TcpServer, 1.8 KiB with a protocol on asyncio and 23.4 KiB with a thread for each." in text
    )
    assert "The kernel keeps 8.0 KiB beside for both ends of each" in text
    assert "answered within 10.00 ms with Yolanda's TcpServer" in text
    assert "1.00 times with Yolanda's TcpServer" in text
    assert "10,000 connections that are idle take no processor" in text
    assert "does not give up at 19,900 here: it pays, with 20 times the memory" in text
    assert "fell behind" not in text


def test_what_went_wrong_is_said() -> None:
    text = told(idle_cpu=0.25, late=0.5)
    assert "Yolanda's TcpServer 25.0% of a core" in text
    assert "The client fell behind, and was the limit, with Yolanda's TcpServer at 1,000" in text


def test_of_nothing_nothing_is_said() -> None:
    assert c10k.findings(PartResult("c10k")) == []
    half = PartResult("c10k")
    half.add(
        "yolanda", {"connections": 1_000, "speaking": "nobody speaks"}, {"memory_each": 2048.0}
    )
    assert c10k.findings(half) == [
        "Each of 1,000 connections that has spoken and is idle takes 2.0 KiB with Yolanda's "
        "TcpServer."
    ]

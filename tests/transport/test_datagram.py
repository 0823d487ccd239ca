import errno
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from yolanda.address import Address, AddressError
from yolanda.reactor.dispatcher import DISPATCHERS
from yolanda.reactor.event_loop import EventLoop
from yolanda.transport import datagram
from yolanda.transport.datagram import QUEUE_SIZE, DatagramEndpoint

RunUntil = Callable[..., None]
LOCAL = "127.0.0.1:0"


class Bench:
    """Endpoints in one loop, and what they were told."""

    def __init__(self, loop: EventLoop, run_until: RunUntil) -> None:
        self.loop = loop
        self._run_until = run_until
        self.endpoints: list[DatagramEndpoint] = []
        self.sockets: list[socket.socket] = []
        self.received: list[tuple[DatagramEndpoint, bytes, Address | None]] = []
        self.errors: list[tuple[DatagramEndpoint, int | None]] = []

    def open(self, address: str | None = LOCAL, **options: Any) -> DatagramEndpoint:
        """An endpoint that has been started."""
        options.setdefault("on_datagram", lambda *args: self.received.append(args))
        options.setdefault("on_error", lambda e, error: self.errors.append((e, error.errno)))
        endpoint = DatagramEndpoint(self.loop, address, **options)
        self.endpoints.append(endpoint)
        endpoint.start()
        return endpoint

    def socket(self, family: int = socket.AF_INET, bind: Any = ("127.0.0.1", 0)) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sockets.append(sock)
        sock.settimeout(30)
        if bind:
            sock.bind(bind)
        return sock

    @property
    def data(self) -> list[bytes]:
        return [data for _, data, _ in self.received]

    def until(self, condition: Callable[[], object]) -> None:
        self._run_until(self.loop, condition)

    def turns(self, seconds: float) -> int:
        """How often the loop turns in ``seconds`` when it is left alone."""
        before = self.loop.statistics.iterations
        self.loop.call_later(seconds, self.loop.stop)
        self.loop.run()
        return self.loop.statistics.iterations - before

    def close(self) -> None:
        for endpoint in self.endpoints:
            endpoint.close()
        for sock in self.sockets:
            sock.close()
        assert self.loop.statistics.channels == 1
        assert self.loop.statistics.timers == 0


@pytest.fixture(params=list(DISPATCHERS))
def bench(request: pytest.FixtureRequest, run_until: RunUntil) -> Iterator[Bench]:
    with EventLoop(request.param) as loop:
        bench = Bench(loop, run_until)
        yield bench
        bench.close()


@pytest.fixture
def plain(run_until: RunUntil) -> Iterator[Bench]:
    """A bench for what has nothing to do with the dispatcher."""
    with EventLoop() as loop:
        bench = Bench(loop, run_until)
        yield bench
        bench.close()


def free_address(bench: Bench) -> str:
    """An address where nobody listens."""
    sock = bench.socket()
    address = "{}:{}".format(*sock.getsockname())
    sock.close()
    return address


# ---- back and forth ----------------------------------------------------------------------


def test_echo(bench: Bench) -> None:
    server = bench.open(
        on_datagram=lambda endpoint, data, sender: endpoint.send_to(data.upper(), sender)
    )
    clients = [bench.socket() for _ in range(3)]
    for number, client in enumerate(clients):
        client.sendto(b"hello %d" % number, ("127.0.0.1", server.address.port))
    bench.until(lambda: server.sent == 3)
    for number, client in enumerate(clients):
        assert client.recvfrom(100) == (b"HELLO %d" % number, server.socket.getsockname())
    assert server.received == 3


def test_two_endpoints(bench: Bench) -> None:
    first, second = bench.open(), bench.open()
    first.send_to(b"a", second.address)
    first.send_to(bytearray(b"b"), str(second.address))
    first.send_to(memoryview(b"c"), second.address)
    bench.until(lambda: len(bench.received) == 3)
    assert bench.received == [(second, data, first.address) for data in (b"a", b"b", b"c")]


def test_connected(bench: Bench) -> None:
    server = bench.socket()
    address = Address(*server.getsockname())
    client = bench.open(None, peer=address)
    assert client.peer == address
    client.send(b"ping")
    data, sender = server.recvfrom(100)
    assert data == b"ping"
    assert sender == client.socket.getsockname()
    bench.socket().sendto(b"from a stranger", sender)
    server.sendto(b"pong", sender)
    bench.until(lambda: bench.received)
    assert bench.received == [(client, b"pong", address)]


def test_each_datagram_is_one_message(bench: Bench) -> None:
    endpoint = bench.open()
    sock = bench.socket()
    messages = [b"", b"a", b"", b"x" * 60_000, b"b"]
    for message in messages:
        sock.sendto(message, endpoint.socket.getsockname())
    bench.until(lambda: len(bench.received) == len(messages))
    assert bench.data == messages


def test_an_empty_datagram_can_be_sent(bench: Bench) -> None:
    sock = bench.socket()
    endpoint = bench.open(None, peer=Address(*sock.getsockname()))
    endpoint.send(b"")
    assert sock.recv(100) == b""
    assert endpoint.sent == 1


def test_more_than_are_received_in_one_turn(bench: Bench) -> None:
    endpoint = bench.open()
    sock = bench.socket()
    total = datagram._RECEIVES_A_TURN * 2 + 5
    for number in range(total):
        sock.sendto(b"%d" % number, endpoint.socket.getsockname())
    bench.until(lambda: len(bench.received) == total)
    assert bench.data == [b"%d" % number for number in range(total)]


def test_receiving_is_bounded_a_turn(plain: Bench) -> None:
    endpoint = plain.open()
    sock = plain.socket()
    for _ in range(datagram._RECEIVES_A_TURN + 1):
        sock.sendto(b"x", endpoint.socket.getsockname())
    plain.loop.run_once(1)
    assert 0 < endpoint.received <= datagram._RECEIVES_A_TURN


def test_sending_from_other_threads(bench: Bench) -> None:
    sock = bench.socket()
    endpoint = bench.open()
    address = Address(*sock.getsockname())
    endpoint.connect(address)

    def work(number: int) -> None:
        for turn in range(10):
            endpoint.send(b"%d %d" % (number, turn))
            endpoint.send_to(b"%d %d" % (number, turn), address)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    bench.until(lambda: endpoint.sent == 80)
    for thread in threads:
        thread.join()
    got = [sock.recv(100) for _ in range(80)]
    for number in range(4):
        mine = [data for data in got if data.startswith(b"%d " % number)]
        assert mine == [b"%d %d" % (number, turn) for turn in range(10) for _ in range(2)]


def test_data_changed_after_send_is_not_seen(plain: Bench) -> None:
    sock = plain.socket()
    endpoint = plain.open(None, peer=Address(*sock.getsockname()))
    data = bytearray(b"original")
    thread = threading.Thread(target=endpoint.send, args=(data,))
    thread.start()
    thread.join()
    data[:] = b"changed!"
    plain.until(lambda: endpoint.sent)
    assert sock.recv(100) == b"original"


def test_an_endpoint_without_a_hook_receives_all_the_same(plain: Bench) -> None:
    endpoint = plain.open(on_datagram=None)
    plain.socket().sendto(b"x", endpoint.socket.getsockname())
    plain.until(lambda: endpoint.received == 1)


def test_nothing_is_received_before_start(plain: Bench) -> None:
    endpoint = DatagramEndpoint(
        plain.loop, LOCAL, on_datagram=lambda *args: plain.received.append(args)
    )
    plain.endpoints.append(endpoint)
    plain.socket().sendto(b"early", endpoint.socket.getsockname())
    plain.turns(0.02)
    assert plain.received == []
    endpoint.start()
    plain.until(lambda: plain.data == [b"early"])


# ---- connecting --------------------------------------------------------------------------


def test_connect_again_and_disconnect(bench: Bench) -> None:
    first, second = bench.socket(), bench.socket()
    endpoint = bench.open()
    own = endpoint.socket.getsockname()
    for sock in (first, second, first):
        endpoint.connect(Address(*sock.getsockname()))
        endpoint.send(b"hello")
        assert sock.recv(100) == b"hello"
    second.sendto(b"from a stranger", own)
    first.sendto(b"from the peer", own)
    bench.until(lambda: bench.data == [b"from the peer"])
    endpoint.connect(None)
    assert endpoint.peer is None
    second.sendto(b"from anybody", own)
    bench.until(lambda: bench.data == [b"from the peer", b"from anybody"])
    with pytest.raises(OSError, match="send_to") as caught:
        endpoint.send(b"to whom?")
    assert caught.value.errno == errno.EDESTADDRREQ


def test_nobody_listens_there(bench: Bench) -> None:
    endpoint = bench.open(None, peer=free_address(bench))
    endpoint.send(b"anybody?")
    bench.until(lambda: bench.errors)
    assert bench.errors == [(endpoint, errno.ECONNREFUSED)]
    assert bench.turns(0.05) < 10
    server = bench.socket()
    endpoint.connect(Address(*server.getsockname()))  # and it is of use still
    endpoint.send(b"you?")
    assert server.recv(100) == b"you?"


def test_an_error_without_a_hook_is_logged(plain: Bench, caplog: pytest.LogCaptureFixture) -> None:
    endpoint = plain.open(None, peer=free_address(plain), on_error=None)
    endpoint.send(b"anybody?")
    plain.until(lambda: "refused" in caplog.text)


def test_the_error_of_an_earlier_send_comes_with_a_later_one(plain: Bench) -> None:
    endpoint = plain.open(None, peer=free_address(plain))
    endpoint.send(b"first")
    endpoint.send(b"second")
    plain.until(lambda: plain.errors)
    assert {code for _, code in plain.errors} == {errno.ECONNREFUSED}


def test_a_name_of_two_families(plain: Bench) -> None:
    sock = plain.socket()
    target = f"localhost:{sock.getsockname()[1]}"
    endpoint = plain.open(LOCAL, peer=target)  # ours says which of localhost's addresses
    endpoint.send(b"a")
    assert sock.recv(10) == b"a"
    other = plain.open(LOCAL)
    other.connect(target)
    other.send(b"b")
    assert sock.recv(10) == b"b"
    other.connect(None)
    other.send_to(b"c", target)
    assert sock.recv(10) == b"c"


@pytest.mark.parametrize("target", ["[::1]:9", "unix:/nowhere"])
def test_a_peer_of_another_family(plain: Bench, target: str) -> None:
    with pytest.raises(OSError, match="family") as caught:
        DatagramEndpoint(plain.loop, LOCAL, peer=target)
    assert caught.value.errno == errno.EAFNOSUPPORT
    endpoint = plain.open()
    with pytest.raises(OSError, match="family"):
        endpoint.connect(target)
    with pytest.raises(OSError, match="family"):
        endpoint.send_to(b"x", target)
    assert endpoint.peer is None


def test_it_needs_an_address_or_a_peer(plain: Bench) -> None:
    with pytest.raises(ValueError, match="needs an address"):
        DatagramEndpoint(plain.loop)


def test_an_address_in_use(plain: Bench) -> None:
    endpoint = plain.open()
    with pytest.raises(OSError, match=str(endpoint.address)) as caught:
        DatagramEndpoint(plain.loop, endpoint.address)
    assert caught.value.errno == errno.EADDRINUSE


def test_an_unknown_name_leaves_nothing_open(plain: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object) -> list[tuple[int, Any]]:
        raise AddressError("no-such-name:1: Name or service not known")

    monkeypatch.setattr(datagram, "resolve", unknown)
    with pytest.raises(AddressError, match="no-such-name"):
        DatagramEndpoint(plain.loop, LOCAL, peer="no-such-name:1")


# ---- local sockets -----------------------------------------------------------------------


def test_local_datagrams(bench: Bench, tmp_path: Path) -> None:
    server = bench.open(
        f"unix:{tmp_path}/server",
        on_datagram=lambda endpoint, data, sender: endpoint.send_to(data.upper(), sender),
    )
    client = bench.open(f"unix:{tmp_path}/client", peer=server.address)
    client.send(b"hello")
    bench.until(lambda: bench.received)
    assert bench.received == [(client, b"HELLO", server.address)]
    server.close()
    client.close()
    assert list(tmp_path.iterdir()) == []


def test_a_local_sender_without_an_address(bench: Bench, tmp_path: Path) -> None:
    server = bench.open(f"unix:{tmp_path}/server")
    client = bench.open(None, peer=server.address)
    client.send(b"anonymous")
    bench.until(lambda: bench.received == [(server, b"anonymous", None)])


@pytest.mark.parametrize("connected", [True, False])
def test_a_full_kernel_queue(bench: Bench, tmp_path: Path, connected: bool) -> None:
    slow = bench.socket(socket.AF_UNIX, f"{tmp_path}/slow")
    endpoint = bench.open(f"unix:{tmp_path}/own")
    target = Address(path=f"{tmp_path}/slow")
    if connected:
        endpoint.connect(target)
    total = 0
    while not endpoint._queue:
        endpoint.send(b"%d" % total) if connected else endpoint.send_to(b"%d" % total, target)
        total += 1
    for _ in range(20):
        endpoint.send(b"%d" % total) if connected else endpoint.send_to(b"%d" % total, target)
        total += 1
    assert bench.turns(0.1) < 30  # it waits, and does not spin
    assert endpoint.sent == total - 21
    got: list[bytes] = []

    def read() -> bool:
        slow.setblocking(False)
        try:
            got.append(slow.recv(100))
        except BlockingIOError:
            return False
        return len(got) == total

    while len(got) < total:
        before = len(got)
        bench.until(lambda: read() or len(got) > before)  # noqa: B023
    assert got == [b"%d" % number for number in range(total)]
    assert endpoint.dropped == 0
    assert bench.errors == []
    assert bench.turns(0.03) < 10


def test_a_queue_that_is_full_drops(plain: Bench, tmp_path: Path) -> None:
    plain.socket(socket.AF_UNIX, f"{tmp_path}/slow")
    endpoint = plain.open(None, peer=f"unix:{tmp_path}/slow")
    while not endpoint._queue:
        endpoint.send(b"x")
    for _ in range(QUEUE_SIZE + 9):
        endpoint.send(b"x")
    assert endpoint.dropped == 10
    assert len(endpoint._queue) == QUEUE_SIZE


# ---- options -----------------------------------------------------------------------------


def test_broadcast(plain: Bench) -> None:
    values = [
        plain.open(broadcast=on).socket.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)
        for on in (True, False)
    ]
    assert [bool(value) for value in values] == [True, False]


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="no SO_REUSEPORT here")
def test_reuse_port(plain: Bench) -> None:
    first = plain.open(reuse_port=True)
    second = plain.open(str(first.address), reuse_port=True)
    assert first.address == second.address


@pytest.mark.skipif(sys.platform != "linux", reason="multicast on loopback is only sure on Linux")
def test_multicast(plain: Bench) -> None:
    group = "239.255.43.21"
    endpoint = plain.open("0.0.0.0:0")
    try:
        endpoint.join(group, "127.0.0.1")
    except OSError as error:
        pytest.skip(f"no multicast here: {error}")
    sender = plain.socket()
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
    try:
        sender.sendto(b"to all", (group, endpoint.address.port))
    except OSError as error:
        pytest.skip(f"no multicast here: {error}")
    plain.until(lambda: plain.data == [b"to all"])
    endpoint.leave(group, "127.0.0.1")
    sender.sendto(b"not to you", (group, endpoint.address.port))
    sender.sendto(b"but this is", ("127.0.0.1", endpoint.address.port))
    plain.until(lambda: plain.data == [b"to all", b"but this is"])


def test_multicast_ipv6(plain: Bench) -> None:
    try:
        endpoint = plain.open("[::1]:0")
        endpoint.join("ff01::4321", "lo")
        endpoint.leave("ff01::4321", "lo")
    except OSError as error:
        pytest.skip(f"no IPv6 multicast on the loopback interface here: {error}")


def test_ipv6(plain: Bench) -> None:
    try:
        first, second = plain.open("[::1]:0"), plain.open("[::1]:0")
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    first.send_to(b"six", second.address)
    plain.until(lambda: plain.received == [(second, b"six", first.address)])


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no dual stack here")
def test_every_interface(plain: Bench) -> None:
    endpoint = plain.open(":0")
    sock = plain.socket()
    sock.sendto(b"four", ("127.0.0.1", endpoint.address.port))
    plain.until(lambda: plain.received)
    sender = plain.received[0][2]
    assert sender == Address(*sock.getsockname())
    endpoint.send_to(b"and back", sender)
    assert sock.recv(100) == b"and back"
    endpoint.connect(sender)
    endpoint.send(b"and connected")
    assert sock.recv(100) == b"and connected"


# ---- hooks, errors and ends --------------------------------------------------------------


def test_an_exception_in_a_hook_ends_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("oops")

    endpoint = bench.open(on_datagram=fail, on_error=fail)
    sock = bench.socket()
    for _ in range(3):
        sock.sendto(b"x", endpoint.socket.getsockname())
    bench.until(lambda: endpoint.received == 3)
    assert caplog.text.count("RuntimeError: oops") == 3
    endpoint.connect(free_address(bench))
    endpoint.send(b"x")
    bench.until(lambda: caplog.text.count("RuntimeError: oops") >= 4)
    endpoint.on_datagram = lambda *args: bench.received.append(args)
    endpoint.connect(None)
    sock.sendto(b"alive", endpoint.socket.getsockname())
    bench.until(lambda: bench.data == [b"alive"])


def test_close_in_the_datagram_hook(bench: Bench) -> None:
    def close(endpoint: DatagramEndpoint, data: bytes, sender: Address | None) -> None:
        bench.received.append((endpoint, data, sender))
        endpoint.close()

    endpoint = bench.open(on_datagram=close)
    sock = bench.socket()
    for _ in range(3):
        sock.sendto(b"x", endpoint.socket.getsockname())
    bench.until(lambda: bench.received)
    bench.turns(0.02)
    assert len(bench.received) == 1
    assert bench.errors == []


def test_close_in_the_error_hook(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    def close(endpoint: DatagramEndpoint, error: OSError) -> None:
        bench.errors.append((endpoint, error.errno))
        endpoint.close()

    endpoint = bench.open(None, peer=free_address(bench), on_error=close)
    endpoint.send(b"anybody?")
    bench.until(lambda: bench.errors)
    bench.turns(0.02)
    assert bench.errors == [(endpoint, errno.ECONNREFUSED)]
    assert caplog.text == ""


def test_close_in_the_error_hook_of_a_queued_datagram(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def close(endpoint: DatagramEndpoint, error: OSError) -> None:
        bench.errors.append((endpoint, error.errno))
        endpoint.close()

    slow = bench.socket(socket.AF_UNIX, f"{tmp_path}/slow")
    endpoint = bench.open(None, peer=f"unix:{tmp_path}/slow", on_error=close)
    while len(endpoint._queue) < 5:
        endpoint.send(b"x")
    slow.close()
    bench.until(lambda: bench.errors)
    bench.turns(0.02)
    assert len(bench.errors) == 1
    assert caplog.text == ""


def test_too_large_a_datagram_is_an_error_of_its_own(plain: Bench) -> None:
    sock = plain.socket()
    endpoint = plain.open(None, peer=Address(*sock.getsockname()))
    endpoint.send(bytes(70_000))
    assert plain.errors == [(endpoint, errno.EMSGSIZE)]
    endpoint.send(b"small")
    assert sock.recv(100) == b"small"
    assert endpoint.sent == 1


def test_a_closed_endpoint(plain: Bench) -> None:
    endpoint = plain.open(None, peer=free_address(plain))
    text = repr(endpoint)
    assert "127.0.0.1" in text
    endpoint.close()
    endpoint.close()
    assert "closed" in repr(endpoint)
    endpoint.send(b"dropped")
    assert endpoint.sent == 0
    assert plain.errors == []
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        _ = endpoint.address


def test_close_after_the_loop(run_until: RunUntil, tmp_path: Path) -> None:
    with EventLoop() as loop:
        endpoint = Bench(loop, run_until).open(f"unix:{tmp_path}/own")
    endpoint.close()
    assert list(tmp_path.iterdir()) == []


def test_another_thread_is_told_so(plain: Bench) -> None:
    endpoint = plain.open()
    failures: list[BaseException] = []

    def work() -> None:
        with pytest.raises(RuntimeError, match="belongs to another thread") as caught:
            endpoint.close()
        failures.append(caught.value)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failures

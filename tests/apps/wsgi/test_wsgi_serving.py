"""``yolanda serve`` with a WSGI application, as a process."""

import os
import signal
import socket
import ssl
import threading

import pytest
import trustme

from ..conftest import Client, Load, get, wait_until
from .bare_app import BLOCK
from .conftest import Start

PATIENCE = 60.0


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def read_all(client: socket.socket) -> bytes:
    data = b""
    while piece := client.recv(1 << 20):
        data += piece
    return data


@pytest.mark.parametrize(
    "arguments", [["bare_app"], ["bare_app:make_app", "--factory"], ["bare_app", "--threads", "1"]]
)
def test_it_finds_out_what_the_application_speaks(command: Start, arguments: list[str]) -> None:
    served = command(*arguments)
    served.expect(r"\(WSGI; ")
    assert get(served.port()) == f"{served.pid} one"
    assert served.stop() == 0


def test_an_interface_can_be_named(command: Start) -> None:
    served = command("bare_app", "--interface", "wsgi")
    assert get(served.port()) == f"{served.pid} one"


def test_workers_share_the_work_and_are_replaced(command: Start) -> None:
    served = command("bare_app", "--workers", "2", "--threads", "2")
    port = served.port()
    with Load(port) as load:
        wait_until(lambda: len(load.by) == 2)
        load.more(300)
    assert not load.failures
    assert load.by == served.workers()
    assert get(port).endswith("many")
    victim = int(get(port).split()[0])
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(served.workers() - {victim}) == 2)
    assert int(get(port).split()[0]) != victim
    assert served.stop() == 0


def test_a_rolling_restart_loses_no_request(command: Start) -> None:
    served = command("bare_app", "--workers", "2", "--threads", "2")
    port = served.port()
    with Load(port) as load:
        load.more(100)
        before = served.workers()
        served.send(signal.SIGHUP)
        wait_until(lambda: not before & served.workers())
        load.more(100)
    assert not load.failures
    assert served.stop() == 0


def test_a_worker_is_replaced_after_its_requests(command: Start) -> None:
    served = command("bare_app", "--limit-max-requests", "50", "--threads", "2")
    with Load(served.port(), keeping=2, fresh=2) as load:
        wait_until(lambda: len(load.by) >= 3)
    assert not load.failures
    assert served.stop() == 0


def test_the_end_waits_for_requests(command: Start) -> None:
    served = command("bare_app")
    with Client(served.port()) as client:
        client.send("/slow")
        served.expect("slow request")
        served.send(signal.SIGTERM)
        assert client.read() == f"{served.pid} one"
        assert client.closing
    assert served.wait() == 0


@pytest.mark.parametrize("path", ["/never", "/endless"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_end_does_not_wait_for_ever(command: Start, path: str, workers: str) -> None:
    served = command("bare_app", "--timeout-graceful-shutdown", "0.3", "--workers", workers)
    with connect(served.port()) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        if path == "/never":
            served.expect("endless request")
        else:
            client.recv(1)
        assert served.stop() == 0
        with pytest.raises(ConnectionResetError):
            read_all(client)
    if path == "/never":
        served.expect("1 requests did not end")
    else:
        served.expect("endless response closed")


def test_a_second_signal_ends_it_at_once(command: Start) -> None:
    served = command("bare_app", "--timeout-graceful-shutdown", "600")
    with connect(served.port()) as client:
        client.sendall(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
        served.expect("endless request")
        served.send(signal.SIGINT)
        wait_until(lambda: not listens(served.port()))
        served.send(signal.SIGINT)
        assert served.wait() == 0


def listens(port: int) -> bool:
    try:
        connect(port).close()
    except (ConnectionRefusedError, ConnectionResetError):  # the latter in the moment of its end
        return False
    return True


def test_too_many_requests_at_once_are_turned_away(command: Start) -> None:
    served = command("bare_app", "--threads", "1", "--limit-concurrency", "2")
    port = served.port()
    clients = [connect(port) for _ in range(2)]
    for client in clients:  # one has the thread, and one waits for it
        client.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
    served.expect("slow request")
    with connect(port) as third:
        third.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert read_all(third).startswith(b"HTTP/1.1 503 ")
    for client in clients:
        assert read_all(client).startswith(b"HTTP/1.1 200 ")
        client.close()
    with Client(port) as client:  # one after the other are never too many
        for _ in range(100):
            client.ask()


def test_a_client_that_is_killed_frees_its_thread(command: Start) -> None:
    served = command("bare_app", "--threads", "1")
    port = served.port()
    for _ in range(3):
        client = connect(port)
        client.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        client.recv(1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        client.close()
    served.expect("endless response closed", times=3)
    assert get(port) == f"{served.pid} one"


def test_https(command: Start, tmp_path: object) -> None:
    authority = trustme.CA()
    path = f"{tmp_path}/certificate.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
    served = command("bare_app", "--ssl-certfile", path)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    for reload in (False, True):
        if reload:
            served.send(signal.SIGUSR2)
        with (
            connect(served.port()) as plain,
            trusting.wrap_socket(plain, server_hostname="127.0.0.1") as client,
        ):
            client.sendall(b"GET /scheme HTTP/1.0\r\n\r\n")
            assert read_all(client).endswith(b"\r\n\r\nhttps")


# ---- much --------------------------------------------------------------------------------

GIGABYTE = 1 << 30
MUCH = 16 << 10  # KiB of memory that a gigabyte on its way may take


@pytest.mark.parametrize("chunked", [False, True])
def test_a_gigabyte_goes_up_in_constant_memory(command: Start, chunked: bool) -> None:
    served = command("bare_app")
    port = served.port()
    before = int(get(port, "/memory"))
    block = BLOCK * 16
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {GIGABYTE}"
    with connect(port) as client:
        head = f"POST /count HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framing}\r\n\r\n"
        client.sendall(head.encode())
        piece = b"%x\r\n%b\r\n" % (len(block), block) if chunked else block
        for _ in range(GIGABYTE // len(block)):
            client.sendall(piece)
        if chunked:
            client.sendall(b"0\r\n\r\n")
        assert read_all(client).endswith(b"\r\n\r\n%d" % GIGABYTE)
    assert int(get(port, "/memory")) < before + MUCH


def test_a_gigabyte_comes_down_in_constant_memory(command: Start) -> None:
    served = command("bare_app")
    port = served.port()
    before = int(get(port, "/memory"))
    with connect(port) as client:
        client.sendall(b"GET /download?%d HTTP/1.0\r\n\r\n" % (GIGABYTE // len(BLOCK)))
        taken = 0
        buffer = bytearray(1 << 20)
        while count := client.recv_into(buffer):
            taken += count
    assert GIGABYTE < taken < GIGABYTE + 1000
    assert int(get(port, "/memory")) < before + MUCH


def test_slow_clients_keep_nobody_waiting(command: Start) -> None:
    """More slow uploads than there are threads, and others are served meanwhile."""
    served = command("bare_app", "--threads", "2")
    port = served.port()
    slow = [connect(port) for _ in range(20)]
    for client in slow:
        client.sendall(b"POST /count HTTP/1.0\r\nContent-Length: 100000\r\n\r\nabc")
    for _ in range(20):
        assert get(port) == f"{served.pid} one"
    answers: list[bytes] = []

    def finish(client: socket.socket) -> None:
        client.sendall(b"x" * 99_997)
        answers.append(read_all(client).rpartition(b"\r\n")[2])

    threads = [threading.Thread(target=finish, args=(client,)) for client in slow]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    for client in slow:
        client.close()
    assert answers == [b"100000"] * 20

"""HTTP over TLS, as clients that are not ours speak it."""

import contextlib
import hashlib
import http.client
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from yolanda.http import HttpLimits, HttpRequest, HttpResponse
from yolanda.reactor.dispatcher import DISPATCHERS
from yolanda.transport.tls_settings import ServerTls

Serve = Callable[..., Any]
PATIENCE = 20.0
BIG = 10_000_000


class Site:
    """A CA, a certificate, and a client's trust in them."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))
        self.file = folder / "server.pem"
        self.issue()
        self.tls = ServerTls(self.file)

    def issue(self) -> None:
        issued = self.authority.issue_cert("localhost", "127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(str(self.file))

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca)

    def client(self, served: Any) -> http.client.HTTPSConnection:
        address = served.address
        context = self.trust()
        context.set_alpn_protocols(["http/1.1"])
        return http.client.HTTPSConnection(
            address.host, address.port, timeout=PATIENCE, context=context
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


def on_request(request: HttpRequest, response: HttpResponse) -> None:
    if request.path == "/digest":
        response.text(hashlib.sha256(request.body).hexdigest())
    elif request.path == "/pieces":
        response.content_type = "text/plain"
        response.body = (b"%06d\n" % number for number in range(100_000))
    else:
        tls = request.connection.tls
        assert tls is not None
        response.text(f"{request.scheme} {request.path} {tls.alpn_protocol}\n")


def get(client: http.client.HTTPSConnection, path: str) -> bytes:
    client.request("GET", path)
    answer = client.getresponse()
    assert answer.status == 200
    return answer.read()


@pytest.mark.parametrize("dispatcher", list(DISPATCHERS))
@pytest.mark.parametrize("threads", [0, 2])
def test_requests_on_connections_that_stay(
    serve: Serve, site: Site, dispatcher: str, threads: int
) -> None:
    served = serve(on_request, tls=site.tls, dispatcher=dispatcher, threads=threads)
    clients = [site.client(served) for _ in range(4)]
    for number in range(5):
        for client in clients:
            assert get(client, f"/{number}") == b"https /%d http/1.1\n" % number
    for client in clients:
        client.close()


def test_a_plain_server_s_scheme(serve: Serve) -> None:
    served = serve(lambda request, response: response.text(request.scheme))
    assert served.get("/").body == b"http"


def test_bodies_of_ten_megabytes(serve: Serve, site: Site, tmp_path: Path) -> None:
    path = tmp_path / "file"
    data = os.urandom(BIG)
    path.write_bytes(data)

    def handle(request: HttpRequest, response: HttpResponse) -> None:
        if request.path == "/file":
            response.file(path)
        elif request.path == "/memory":
            response.body = data
        else:
            on_request(request, response)

    served = serve(handle, tls=site.tls)
    client = site.client(served)
    assert get(client, "/file") == data
    assert get(client, "/memory") == data
    client.request("POST", "/digest", body=data)
    assert client.getresponse().read().decode() == hashlib.sha256(data).hexdigest()
    assert get(client, "/pieces") == b"".join(b"%06d\n" % number for number in range(100_000))
    client.close()


def test_a_slow_reader_takes_a_file(serve: Serve, site: Site, tmp_path: Path) -> None:
    path = tmp_path / "file"
    data = os.urandom(BIG)
    path.write_bytes(data)
    connections = []

    def handle(request: HttpRequest, response: HttpResponse) -> None:
        connections.append(request.connection)
        response.file(path)

    served = serve(handle, tls=site.tls)
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    raw.settimeout(PATIENCE)
    raw.connect((served.address.host, served.address.port))
    with site.trust().wrap_socket(raw, server_hostname="localhost") as client:
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        arrived = bytearray()
        while piece := client.recv(10_000):
            arrived += piece
        client.unwrap()
    assert arrived.partition(b"\r\n\r\n")[2] == data
    served.settle()
    assert connections[0].error is None


def test_pipelined_requests(serve: Serve, site: Site) -> None:
    served = serve(on_request, tls=site.tls)
    address = (served.address.host, served.address.port)
    with (
        socket.create_connection(address, PATIENCE) as raw,
        site.trust().wrap_socket(raw, server_hostname="localhost") as client,
    ):
        client.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        client.sendall(b"GET /z HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answers = b""
        while piece := client.recv(65536):
            answers += piece
    assert answers.count(b"https /a None\n") == 50  # it has offered no protocol
    assert answers.endswith(b"https /z None\n")


def test_a_client_that_says_that_it_ends_gets_its_answer(serve: Serve, site: Site) -> None:
    def handle(request: HttpRequest, response: HttpResponse) -> None:
        response.defer()
        request.connection.loop.call_later(0.05, finish, response)

    def finish(response: HttpResponse) -> None:
        response.text("late, but here")
        response.finish()

    served = serve(handle, tls=site.tls)
    address = (served.address.host, served.address.port)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = site.trust().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(address, PATIENCE) as raw:

        def step(function: Callable[..., Any], *args: Any) -> Any:
            while True:
                try:
                    return function(*args)
                except ssl.SSLWantReadError:
                    raw.sendall(outgoing.read())
                    data = raw.recv(65536)
                    assert data, "cut"
                    incoming.write(data)

        step(client.do_handshake)
        client.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ssl.SSLWantReadError):
            client.unwrap()
        raw.sendall(outgoing.read())
        answer = b""
        with contextlib.suppress(ssl.SSLZeroReturnError):
            while piece := step(client.read, 65536):
                answer += piece
    assert answer.endswith(b"late, but here")


def test_plain_http_on_the_port_of_https(serve: Serve, site: Site) -> None:
    served = serve(on_request, tls=site.tls)
    answer = served.get("/")
    assert answer.status == 400
    assert answer.get("Connection") == "close"
    assert answer.body == b"this port speaks TLS (https)"
    served.settle()
    client = site.client(served)
    assert get(client, "/fine") == b"https /fine http/1.1\n"
    client.close()


def test_a_certificate_is_renewed_under_load(serve: Serve, site: Site) -> None:
    served = serve(on_request, tls=site.tls, threads=2)
    failures: list[BaseException] = []
    serials: set[str] = set()
    enough = threading.Event()

    def work() -> None:
        staying = site.client(served)
        try:
            while not enough.is_set():
                assert get(staying, "/stays") == b"https /stays http/1.1\n"
                coming = site.client(served)
                assert get(coming, "/comes") == b"https /comes http/1.1\n"
                certificate = coming.sock.getpeercert()
                serials.add(certificate["serialNumber"])
                coming.close()
        except BaseException as error:
            failures.append(error)
        finally:
            staying.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            site.issue()
            assert site.tls.reload()
            before = len(serials)
            deadline = threading.Event()
            for _ in range(2000):  # until somebody has seen the new one
                if len(serials) > before or failures:
                    break
                deadline.wait(0.01)
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert len(serials) >= 10


def test_the_time_for_a_head_runs_also_within_a_record(serve: Serve, site: Site) -> None:
    """A client that drips its request in TLS is no better off than one that drips it plainly."""
    limits = HttpLimits(header_timeout=0.1)
    served = serve(on_request, tls=site.tls, limits=limits)
    address = (served.address.host, served.address.port)
    with (
        socket.create_connection(address, PATIENCE) as raw,
        site.trust().wrap_socket(raw, server_hostname="localhost") as client,
    ):
        client.send(b"GET / HTTP/1.1\r\nHo")
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_stopping_answers_what_is_on_its_way(serve: Serve, site: Site) -> None:
    asked = threading.Event()
    responses: list[HttpResponse] = []

    def handle(request: HttpRequest, response: HttpResponse) -> None:
        response.defer()
        responses.append(response)
        asked.set()

    served = serve(handle, tls=site.tls, threads=2)
    client = site.client(served)
    client.request("GET", "/")
    assert asked.wait(PATIENCE)
    served.begin_stop()
    responses[0].text("the last one")
    responses[0].finish()
    assert client.getresponse().read() == b"the last one"
    client.close()
    assert served.stopped.wait(PATIENCE)


def test_who_is_behind_the_proxy(serve: Serve, site: Site) -> None:
    def handle(request: HttpRequest, response: HttpResponse) -> None:
        response.text(f"{request.scheme} {request.peer_address}")

    served = serve(handle, tls=site.tls, proxy_protocol=["127.0.0.1"])
    address = (served.address.host, served.address.port)
    with socket.create_connection(address, PATIENCE) as raw:
        raw.send(b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n")
        with site.trust().wrap_socket(raw, server_hostname="localhost") as client:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b""
            while piece := client.recv(65536):
                answer += piece
    assert answer.endswith(b"https [2001:db8::7]:4711")


def test_an_untrusted_header_of_the_proxy_protocol_is_a_bad_request(serve: Serve) -> None:
    served = serve(
        lambda request, response: response.text(str(request.peer_address)),
        proxy_protocol=["192.0.2.0/24"],
    )
    with served.connect() as client:
        client.send(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.read().status in (400, 501)
        assert client.at_end()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(serve: Serve, site: Site, tmp_path: Path) -> None:
    served = serve(on_request, tls=site.tls)
    upload = tmp_path / "upload"
    upload.write_bytes(os.urandom(3_000_000))
    port = served.address.port

    def curl(*arguments: str) -> str:
        command = ["curl", "--silent", "--show-error", "--max-time", "30", "--noproxy", "*"]
        command += ["--cacert", str(site.ca), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    base = f"https://localhost:{port}"
    connect = ["--resolve", f"localhost:{port}:127.0.0.1"]
    for options in ([], ["--tls-max", "1.2"], ["--http1.0"]):
        answer = curl(*connect, *options, f"{base}/one", f"{base}/two")
        assert answer.startswith("https /one ")
        assert "https /two " in answer
    digest = curl(*connect, "--data-binary", f"@{upload}", f"{base}/digest")
    assert digest == hashlib.sha256(upload.read_bytes()).hexdigest()
    assert "this port speaks TLS" in curl(f"http://127.0.0.1:{port}/")
    behind = serve(
        lambda request, response: response.text(str(request.peer_address)), proxy_protocol=True
    )
    answer = curl("--haproxy-protocol", f"http://127.0.0.1:{behind.address.port}/")
    assert answer.startswith("127.0.0.1:")

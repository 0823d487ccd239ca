"""The rot13 server of both models, and clients that behave badly."""

import socket
import struct
import sys
import threading

import pytest

from yolanda.labs.stage import Stage
from yolanda.programs.blocking import rot13

MODELS = ["reactor", "proactor"]


@pytest.mark.parametrize("model", MODELS)
def test_a_megabyte_comes_back_whole(stage: Stage, model: str) -> None:
    server = stage.start("proactor", "--model", model, "--port", "0")
    client = stage.connect(server.port())
    sent = bytes(range(256)) * 4096
    received = bytearray()
    sender = threading.Thread(target=client.sendall, args=(sent,))
    sender.start()
    while len(received) < len(sent):
        received += client.recv(65536)
    sender.join()
    assert received == rot13(sent)


@pytest.mark.parametrize("model", MODELS)
def test_a_reset_ends_one_client_and_not_the_server(stage: Stage, model: str) -> None:
    server = stage.start("proactor", "--model", model, "--port", "0")
    port = server.port()
    with stage.connect(port) as rude:
        rude.sendall(b"x")
        assert rude.recv(1) == b"k"
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.expect(r"connection closed: Connection reset by peer \[ECONNRESET\]")
    with stage.connect(port) as polite:
        polite.sendall("grüß\r\n".encode())
        assert polite.recv(100).decode() == "teüß\r\n"
    server.expect("connection closed: end of stream")
    server.interrupt()
    server.expect_exit(130)


@pytest.mark.parametrize("model", MODELS)
def test_clients_are_served_side_by_side(stage: Stage, model: str) -> None:
    server = stage.start("proactor", "--model", model, "--port", "0")
    port = server.port()
    clients = [stage.connect(port) for _ in range(5)]
    for letter, client in zip(b"abcde", clients, strict=True):
        client.sendall(bytes([letter]))
    for letter, client in zip(b"nopqr", clients, strict=True):
        assert client.recv(1) == bytes([letter])


@pytest.mark.parametrize("model", MODELS)
def test_out_of_descriptors_is_survived_in_peace(stage: Stage, model: str) -> None:
    arguments = f"proactor --model {model} --port 0"
    command = f"ulimit -n 16 && exec {sys.executable} -m yolanda run {arguments}"
    server = stage.start_command(["sh", "-c", command], name=model)
    port = server.port()
    clients = [stage.connect(port) for _ in range(16)]
    server.expect(r"accept: .* \[EMFILE\]")
    clients[0].sendall(b"abc\n")  # those who are served are none the worse for it
    assert clients[0].recv(10) == b"nop\n"
    for client in clients:
        client.close()
    late = stage.connect(port)
    late.sendall(b"abc\n")
    assert late.recv(10) == b"nop\n"
    assert sum("EMFILE" in line for line in server.lines) < 30  # and no thousand times a second


def test_a_used_port(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        server = stage.start("proactor", "--port", port)
        server.expect(r"^yolanda: error: bind 127.0.0.1:\d+: Address already in use \[EADDRINUSE\]")
        server.expect_exit(1)

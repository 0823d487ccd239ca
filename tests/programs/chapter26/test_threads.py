"""The counters and the queue of chapter 26.  (What the servers answer: test_rot13_servers.)"""

import socket
import sys
import threading
from collections.abc import Iterator

import pytest

from yolanda.labs.stage import Stage
from yolanda.programs.chapter26.thread02 import BlockQueue


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    made = [socket.socket() for _ in range(7)]
    yield made
    for sock in made:
        sock.close()


def test_connections_come_out_in_the_order_in_which_they_went_in(
    sockets: list[socket.socket],
) -> None:
    queue = BlockQueue(3)
    out = []
    for pair in (sockets[0:2], sockets[2:4], sockets[4:6]):  # three times round the ring
        for sock in pair:
            queue.push(sock)
        out += [queue.pop(), queue.pop()]
    assert out == sockets[:6]


def test_a_full_queue_holds_all_that_it_was_given(sockets: list[socket.socket]) -> None:
    queue = BlockQueue(7)
    for sock in sockets:
        queue.push(sock)  # the course's ring is empty after this one
    assert [queue.pop() for _ in sockets] == sockets


def test_whoever_pushes_into_a_full_queue_waits(
    sockets: list[socket.socket], capfd: pytest.CaptureFixture[str]
) -> None:
    queue = BlockQueue(2)
    pushed = threading.Event()

    def push_all() -> None:
        for sock in sockets:
            queue.push(sock)
        pushed.set()

    thread = threading.Thread(target=push_all)
    thread.start()
    for sock in sockets[:4]:
        assert queue.pop() is sock
    assert not pushed.is_set()  # one of the last three has no room yet
    for sock in sockets[4:]:
        assert queue.pop() is sock
    thread.join(10)
    assert pushed.is_set()
    printed = capfd.readouterr().out
    assert printed.count("push fd") == printed.count("pop fd") == 7


def test_whoever_pops_from_an_empty_queue_waits(sockets: list[socket.socket]) -> None:
    queue = BlockQueue(1)
    popped: list[socket.socket] = []
    threads = [
        threading.Thread(target=lambda: popped.append(queue.pop())) for _ in range(len(sockets))
    ]
    for thread in threads:
        thread.start()
    for sock in sockets:
        queue.push(sock)
    for thread in threads:
        thread.join(10)
    assert sorted(popped, key=id) == sorted(sockets, key=id)  # each once


@pytest.mark.parametrize("options", [(), ("--lock",), ("--between", "call", "--lock")])
def test_counts(stage: Stage, options: tuple[str, ...]) -> None:
    counting = stage.start("thread-helloworld", "--count", "10", *options)
    counting.expect_exit(0)
    hello, again, calculator, another, lost = counting.lines
    assert hello.startswith("hello, world, tid == ")
    assert hello != again
    assert int(calculator.removeprefix("calculator is ")) <= 20
    assert int(another.removeprefix("another_shared is ")) <= 20
    if "--lock" in options:
        assert lost == "lost: 0 of 40"


@pytest.mark.parametrize(
    "arguments",
    [
        ("thread-helloworld", "--between", "sleep"),
        ("thread-helloworld", "--switch", "0"),
        ("thread02", "--threads", "0"),
        ("thread02", "--queue", "0"),
        ("thread01", "--port", "65536"),
    ],
)
def test_a_bad_argument_is_one_line(stage: Stage, arguments: tuple[str, ...]) -> None:
    program = stage.start(*arguments)
    program.expect_exit(2)
    assert len(program.lines) == 1


@pytest.mark.parametrize("program", ["thread01", "thread02"])
def test_out_of_descriptors_is_survived(stage: Stage, program: str) -> None:
    command = f"ulimit -n 16 && exec {sys.executable} -m yolanda run {program} --port 0"
    server = stage.start_command(["sh", "-c", command], name=program)
    port = server.port()
    clients = [stage.connect(port) for _ in range(16)]
    server.expect(r"accept failed: .* \[EMFILE\]")
    for client in clients:
        client.close()
    late = stage.connect(port)
    late.sendall(b"abc\n")
    assert late.recv(10) == b"nop\n"

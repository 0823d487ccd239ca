"""wakeup and sub-reactors: what the lab does not try."""

import os
import socket
import struct

import pytest

from yolanda.labs.stage import Stage
from yolanda.programs.chapter33.wakeup import EventLoop, EventLoopThread


def test_the_owner_needs_no_byte(capsys: pytest.CaptureFixture[str]) -> None:
    loop = EventLoop()
    loop.do_channel_event("quit", byte=True)
    assert loop.quit
    loop.run(0)
    loop.clear()
    assert "handled: quit, after 0 ms" in capsys.readouterr().out


def test_many_bytes_are_one_wake_up(capsys: pytest.CaptureFixture[str]) -> None:
    loop = EventLoop()
    for _ in range(3):
        loop.wakeup()
    loop.handle_wakeup()
    loop.clear()
    assert capsys.readouterr().out.startswith("wakeup by 3 bytes")


def test_a_thread_is_ready_when_start_returns() -> None:
    for _ in range(20):
        thread = EventLoopThread("Thread-1", 60)
        loop = thread.start()
        assert loop.owner_thread is thread.thread
        loop.do_channel_event("quit", byte=True)
        thread.thread.join(30)
        assert not thread.thread.is_alive()
        loop.clear()


def test_ctrl_c_ends_it(stage: Stage) -> None:
    program = stage.start("wakeup", "--interval", "100000")
    program.expect("event loop thread started")
    program.interrupt()
    program.expect_exit(130)
    assert not program.said("Traceback")


def test_two_threads_a_processor(stage: Stage) -> None:
    server = stage.start("sub-reactors", "--port", "0")
    server.port()
    server.expect(f"^{2 * (os.cpu_count() or 1)} loops serve connections, round-robin$")


def test_a_single_reactor_serves_too(stage: Stage) -> None:
    server = stage.start("sub-reactors", "--port", "0", "--threads", "0")
    client = stage.connect(server.port())
    client.sendall(b"hello")
    assert client.recv(100) == b"hello"
    server.expect("connection completed .*, main thread has 1")
    server.interrupt()
    server.expect("connection closed .*, main thread has 0")
    server.expect_exit(0)


def test_a_peer_keeps_its_thread_even_after_a_reset(stage: Stage) -> None:
    server = stage.start("sub-reactors", "--port", "0", "--threads", "3", "--choice", "peer-hash")
    port = server.port()
    threads = set()
    for _ in range(4):
        client = stage.connect(port)
        threads.add(server.expect(r"connection completed .*, (Thread-\d) has 1")[1])
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        server.expect("connection closed .* has 0")
    assert len(threads) == 1


def test_a_used_port(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        server = stage.start("sub-reactors", "--port", str(other.getsockname()[1]))
        server.expect(r"^yolanda: error: .*\[EADDRINUSE\]$")
        server.expect_exit(1)

"""fork01: the ways to reap that the lab does not play.  (What it answers: test_rot13_servers.)"""

import os

import pytest

from yolanda.labs.chapter25.fork import children
from yolanda.labs.stage import Actor, Stage

pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/self/stat"), reason="the process table is read from /proc"
)


def serve_and_leave(stage: Stage, server: Actor) -> None:
    port = server.port()
    for _ in range(2):
        client = stage.connect(port)
        client.sendall(b"abc\n")
        assert client.recv(10) == b"nop\n"
        client.close()


def test_a_parent_that_never_reaps_has_zombies_until_it_ends(stage: Stage) -> None:
    server = stage.start("fork01", "--port", "0", "--reap", "never")
    serve_and_leave(stage, server)
    stage.wait_until(
        lambda: list(children(server.pid).values()) == ["Z", "Z"], "both children zombies"
    )
    server.interrupt()
    server.expect_exit(130)
    assert not server.said("reaped")


def test_the_kernel_reaps_for_a_parent_that_ignores_the_signal(stage: Stage) -> None:
    server = stage.start("fork01", "--port", "0", "--reap", "ignore")
    serve_and_leave(stage, server)
    stage.wait_until(lambda: not children(server.pid), "no child left")
    assert not server.said("reaped")


def test_a_killed_child_is_reaped_and_costs_one_client_only(stage: Stage) -> None:
    server = stage.start("fork01", "--port", "0")
    port = server.port()
    one, two = stage.connect(port), stage.connect(port)
    pids = [int(server.expect(r"process (\d+) serves")[1]) for _ in range(2)]
    os.kill(pids[0], 9)
    server.expect(rf"process {pids[0]} reaped, status -9")
    assert one.recv(1) == b""
    two.sendall(b"abc\n")
    assert two.recv(10) == b"nop\n"
    assert list(children(server.pid)) == [pids[1]]


def test_a_way_to_reap_that_there_is_not(stage: Stage) -> None:
    server = stage.start("fork01", "--reap", "sometimes")
    server.expect_exit(2)
    assert len(server.lines) == 1

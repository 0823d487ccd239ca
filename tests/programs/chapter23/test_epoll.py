"""What the labs of chapter 23 leave out."""

import select

import pytest
from click.testing import CliRunner

from yolanda.cli import cli
from yolanda.labs.stage import Stage

needs_epoll = pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll")


@pytest.mark.parametrize("name", ["epoll01", "epoll02", "epoll03"])
def test_says_where_there_is_no_epoll(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "epoll", raising=False)
    result = CliRunner().invoke(cli, ["run", name, "--port", "0"])
    assert result.exit_code == 1
    assert "epoll is Linux's own" in result.output


@needs_epoll
@pytest.mark.parametrize("name", ["epoll02", "epoll03"])
def test_it_sleeps_again_when_the_client_has_gone(stage: Stage, name: str) -> None:
    server = stage.start(name, "--port", "0")
    port = server.port()
    client = stage.connect(port)
    client.sendall(b"never read\n")
    server.expect("get event on socket fd")
    client.close()
    server.expect("closed by the other end")
    woken = server.lines.count("epoll_wait wakeup")
    stage.connect(port)
    server.expect("epoll_wait wakeup")
    assert server.lines.count("epoll_wait wakeup") == woken + 1


@needs_epoll
@pytest.mark.parametrize("name", ["epoll02", "epoll03"])
def test_it_ends_after_as_many_wakeups_as_it_is_told(stage: Stage, name: str) -> None:
    server = stage.start(name, "--port", "0", "--wakeups", "1")
    stage.connect(server.port())
    server.expect_exit(0)
    assert server.lines.count("epoll_wait wakeup") == 1

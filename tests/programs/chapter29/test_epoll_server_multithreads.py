"""epoll-server-multithreads where there is no epoll.  (What it answers: test_rot13_servers.)"""

import select

import pytest
from click.testing import CliRunner

from yolanda.programs.chapter29.epoll_server_multithreads import main


def test_says_what_the_system_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "epoll", raising=False)
    result = CliRunner().invoke(main, [])
    assert result.exit_code == 1
    assert result.output == "Error: this system has no epoll; try poll-server-multithreads\n"

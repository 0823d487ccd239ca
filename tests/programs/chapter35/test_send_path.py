"""send-path: what the lab does not try."""

import pytest

from yolanda.labs.stage import Stage


@pytest.mark.parametrize("size", ["1", "10000000"])
def test_any_size_arrives(stage: Stage, size: str) -> None:
    program = stage.start("send-path", "--size", size, "--pause", "0.1")
    program.expect(f"^the other end has read {int(size) + 100} bytes, and then the end")
    program.expect("^on_connection_closed$")
    program.expect_exit(0)


def test_ctrl_c_ends_it(stage: Stage) -> None:
    program = stage.start("send-path", "--pause", "100000")
    program.expect("on_high_water")
    program.interrupt()
    program.expect_exit(130)
    assert not program.said("Traceback")


@pytest.mark.parametrize("size", ["0", "99999999999999"])
def test_nothing_cannot_be_sent_nor_more_than_there_is_memory(stage: Stage, size: str) -> None:
    program = stage.start("send-path", "--size", size)
    program.expect("^yolanda: error: .*--size")
    program.expect_exit(2)

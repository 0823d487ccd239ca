"""The four functions of POSIX, and what the program says when they fail."""

import errno
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from yolanda.labs.stage import Stage
from yolanda.programs.chapter30.aio01 import (
    BUF_SIZE,
    aio_error,
    aio_read,
    aio_return,
    aio_suspend,
    aio_write,
)

PATIENCE = 30.0


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    yield fd
    os.close(fd)


def test_an_operation_is_in_progress_until_it_is_done(pool: ThreadPoolExecutor, fd: int) -> None:
    disk_is_free = threading.Event()
    pool.submit(disk_is_free.wait, PATIENCE)
    operation = aio_write(pool, fd, b"hello")
    assert aio_error(operation) == errno.EINPROGRESS
    assert not aio_suspend(operation, 0.001)
    assert os.fstat(fd).st_size == 0
    disk_is_free.set()
    assert aio_suspend(operation, PATIENCE)
    assert aio_error(operation) == 0
    assert aio_return(operation) == 5


def test_a_read_fills_the_buffer_that_it_was_given(pool: ThreadPoolExecutor, fd: int) -> None:
    os.pwrite(fd, b"0123456789", 0)
    buffer = bytearray(4)
    operation = aio_read(pool, fd, buffer, 3)
    assert aio_suspend(operation, PATIENCE)
    assert buffer == b"3456"
    assert aio_return(operation) == 4


def test_an_error_comes_with_the_result_and_not_with_the_call(pool: ThreadPoolExecutor) -> None:
    fd = os.open(os.devnull, os.O_RDONLY)
    operation = aio_write(pool, fd, b"hello")
    assert aio_suspend(operation, PATIENCE)
    assert aio_error(operation) == errno.EBADF
    assert aio_return(operation) == -1
    os.close(fd)


def test_the_file_stays_where_it_was_asked_for(stage: Stage) -> None:
    program = stage.start("aio01", "file.bin")
    program.expect("^Success.$")
    program.expect_exit(0)
    assert (stage.folder / "file.bin").read_bytes() == b"\xfa" * BUF_SIZE


def test_what_is_there_is_not_overwritten(stage: Stage) -> None:
    (stage.folder / "file.bin").write_text("mine")
    program = stage.start("aio01", "file.bin")
    program.expect(r"^yolanda: error: open file failed file.bin: File exists \[EEXIST\]$")
    program.expect_exit(1)
    assert (stage.folder / "file.bin").read_text() == "mine"


def test_ctrl_c_ends_it(stage: Stage) -> None:
    program = stage.start("aio01", "--delay", "500", "--wait", "loop", "--timeout", "10")
    program.expect("writing")
    program.interrupt()
    program.expect_exit(130)

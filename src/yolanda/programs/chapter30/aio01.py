"""Write a file and read it back, neither of them by a call that waits.

Chapter 30.  POSIX's ``aio_write`` starts an operation and returns; ``aio_error`` says whether it is
still under way, ``aio_return`` what came of it.  glibc has threads do the work, and so does this
program: the four functions mean what POSIX means by them.  Watch how the result is learned of:
by asking without end (the course's way, which keeps a processor busy), by sleeping until it is
there or a time is over, or by a callback in an event loop that does other things meanwhile.

\b
    $ yolanda run aio01
    $ yolanda run aio01 --delay 300 --wait suspend
    $ yolanda run aio01 --delay 300 --wait loop
    $ yolanda run aio01 kept.bin && xxd kept.bin
"""

import errno
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from time import sleep

import click

from yolanda import EventLoop
from yolanda.programs.blocking import failed, named, run_program

BUF_SIZE = 512


def aio_write(pool: ThreadPoolExecutor, fd: int, data: bytes, offset: int = 0) -> Future[int]:
    """Start to write ``data`` at ``offset``, and return at once."""
    return pool.submit(os.pwrite, fd, data, offset)


def aio_read(pool: ThreadPoolExecutor, fd: int, buffer: bytearray, offset: int = 0) -> Future[int]:
    """Start to read into ``buffer``, which is not to be touched until that is done."""
    return pool.submit(os.preadv, fd, [buffer], offset)


def aio_error(operation: Future[int]) -> int:
    """Return EINPROGRESS, or 0 when it went well, or the number of its error."""
    if not operation.done():
        return errno.EINPROGRESS
    error = operation.exception()
    if error is None:
        return 0
    return (error.errno if isinstance(error, OSError) else None) or errno.EIO


def aio_return(operation: Future[int]) -> int:
    """Return how many bytes were moved, or -1.  Only when it is not in progress any more."""
    return -1 if aio_error(operation) else operation.result()


def aio_suspend(operation: Future[int], timeout: float) -> bool:
    """Sleep until the operation is done, ``timeout`` seconds at most; say whether it is done."""
    return bool(wait([operation], timeout).done)


def wait_by_asking(operation: Future[int], doing: str, timeout: float) -> None:
    """Ask until it is done, as the course does; ``timeout`` is of no use here."""
    while aio_error(operation) == errno.EINPROGRESS:
        print(f"{doing}...")


def wait_by_sleeping(operation: Future[int], doing: str, timeout: float) -> None:
    """Sleep, and say so each time that it took longer than ``timeout`` seconds."""
    while not aio_suspend(operation, timeout):
        print(f"{doing}...")


def wait_in_a_loop(operation: Future[int], doing: str, timeout: float) -> None:
    """Let an event loop go on with a timer of its own until the completion arrives in it."""
    with EventLoop() as loop:
        loop.call_every(timeout, print, f"{doing}... the loop is free for other things")
        # The done-callback runs in the worker's thread: all it does is to tell the loop.
        operation.add_done_callback(lambda _: loop.queue_in_loop(loop.stop))
        loop.run()


WAITS: dict[str, Callable[[Future[int], str, float], None]] = {
    "poll": wait_by_asking,
    "suspend": wait_by_sleeping,
    "loop": wait_in_a_loop,
}


@click.command("aio01", help=__doc__)
@click.argument("path", required=False)
@click.option(
    "--wait",
    "how",
    type=click.Choice(list(WAITS)),
    default="poll",
    show_default=True,
    help="How to learn of the result.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(1),
    default=100,
    show_default=True,
    metavar="MS",
    help="What suspend sleeps at most, and the rhythm of the loop's timer.",
)
@click.option(
    "--delay",
    type=click.FloatRange(0),
    default=0,
    show_default=True,
    metavar="MS",
    help="Play a disk that is so slow to begin.",
)
def main(path: str | None, how: str, timeout: float, delay: float) -> None:
    """Write to PATH, which must not be there yet, or to a file that is removed again."""
    if path is None:
        fd, path = tempfile.mkstemp(prefix="aio_test_")
        os.unlink(path)
    else:
        try:
            fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_EXCL, 0o600)
        except OSError as error:
            raise failed(f"open file failed {named(path)}", error) from error
    try:
        with ThreadPoolExecutor(1) as pool:
            write_and_read_back(pool, fd, WAITS[how], timeout / 1000, delay / 1000)
    finally:
        os.close(fd)


def write_and_read_back(
    pool: ThreadPoolExecutor,
    fd: int,
    wait_for: Callable[[Future[int], str, float], None],
    timeout: float,
    delay: float,
) -> None:
    """Do the two operations, one after the other; times are in seconds."""
    written = b"\xfa" * BUF_SIZE
    pool.submit(sleep, delay)  # the only worker is busy: what is started now has to wait
    operation = aio_write(pool, fd, written)
    wait_for(operation, "writing", timeout)
    check(operation, "aio_write")

    buffer = bytearray(BUF_SIZE)
    pool.submit(sleep, delay)
    operation = aio_read(pool, fd, buffer)
    wait_for(operation, "Reading", timeout)
    check(operation, "aio_read")
    print("Success." if buffer == written else "Error.")


def check(operation: Future[int], what: str) -> None:
    """Raise what the operation failed with; less than all is a failure too."""
    if number := aio_error(operation):
        raise OSError(number, f"{what} failed: {os.strerror(number)}")
    if (size := aio_return(operation)) != BUF_SIZE:
        raise OSError(f"{what} failed: {size} of {BUF_SIZE} bytes")


if __name__ == "__main__":
    run_program(main)

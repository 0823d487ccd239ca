"""Two threads count in the same two places: are all counts there in the end?

Chapter 26.  ``+= 1`` is three steps: load, add, store.  A thread that is interrupted after the
load stores, when its turn comes again, an old number, and all that the other has counted meanwhile
is lost.  The course calls its right result luck.  CPython switches threads only at certain points,
since 3.10 at none within ``x += 1``, so that a plain loop has this luck always, which is nobody's
promise: builds without the GIL have none of it.  ``--between`` puts something between load and
store, as any real program has there, and the loss can be seen; ``--lock`` ends it.

\b
    $ yolanda run thread-helloworld
    $ yolanda run thread-helloworld --between yield
    $ yolanda run thread-helloworld --between yield --lock
"""

import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import click

from yolanda.programs.blocking import run_program


class Counter:
    """A number that two threads share; the course passes a pointer to one."""

    value = 0


another_shared = Counter()
both_are_here = threading.Barrier(2)  # so that the first has not finished when the second starts


def thread_run(
    calculator: Counter,
    count: int,
    between: Callable[[], object] | None,
    lock: AbstractContextManager[object],
) -> None:
    """Count to ``count``, in both places."""
    print(f"hello, world, tid == {threading.get_ident()}\n", end="")  # in one piece
    both_are_here.wait()
    for _ in range(count):
        with lock:
            if between is None:
                calculator.value += 1
                another_shared.value += 1
            else:
                loaded, another_loaded = calculator.value, another_shared.value
                between()  # whoever runs now loads the same two numbers
                calculator.value, another_shared.value = loaded + 1, another_loaded + 1


def call_something() -> None:
    """A call is one of the points where CPython may switch, if this thread's time is up."""


def give_way() -> None:
    """Whatever may block lets another thread run: a sleep, a read, a print."""
    time.sleep(0)


BETWEEN = {"nothing": None, "call": call_something, "yield": give_way}


@click.command("thread-helloworld", help=__doc__)
@click.option(
    "--count",
    type=click.IntRange(0),
    default=1000,
    show_default=True,
    metavar="N",
    help="How often each thread adds one.",
)
@click.option(
    "--between",
    type=click.Choice(list(BETWEEN)),
    default="nothing",
    show_default=True,
    help="What is done between load and store: as the course nothing; the call of a function; or "
    "something during which another thread may run.",
)
@click.option("--lock", "locked", is_flag=True, help="Let one thread at a time load and store.")
@click.option(
    "--switch",
    type=click.FloatRange(0, min_open=True),
    default=1000 * sys.getswitchinterval(),
    show_default=True,
    metavar="MS",
    help="After how long CPython makes a running thread give way; 0.001 makes it hectic.",
)
def main(count: int, between: str, locked: bool, switch: float) -> None:
    """Start both threads, wait for them, and print what they have counted."""
    sys.setswitchinterval(switch / 1000)
    calculator = Counter()
    lock = threading.Lock() if locked else nullcontext()
    threads = [
        threading.Thread(target=thread_run, args=(calculator, count, BETWEEN[between], lock))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"calculator is {calculator.value}")
    print(f"another_shared is {another_shared.value}")
    print(f"lost: {4 * count - calculator.value - another_shared.value} of {4 * count}")


if __name__ == "__main__":
    run_program(main)

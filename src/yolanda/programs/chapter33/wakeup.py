"""Another thread has work for a loop that sleeps: a byte through a socket pair wakes it.

Chapter 33, written out without the framework.  The sub-reactor is a thread that sleeps in its
dispatcher; the main thread puts a channel event into its pending list, under a lock, and writes a
byte into the pair.  Watch when the event is handled, and then take the byte away: it lies there
until the dispatcher's time-out.

Watch the beginning, too: the main thread waits on a condition until the sub-reactor is ready.

\b
    $ yolanda run wakeup
    $ yolanda run wakeup --no-byte
"""

import select
import socket
import threading
import time

import click

from yolanda.programs.blocking import run_program


def say(text: str) -> None:
    """Print a line and the thread it is from, in one write."""
    print(f"{text}, {threading.current_thread().name}\n", end="")


class EventLoop:
    """As much of the course's `event_loop` as wakes up."""

    def __init__(self) -> None:
        self.owner_thread = threading.current_thread()
        self.lock = threading.Lock()  # guards pending
        self.pending: list[tuple[str, float]] = []
        self.quit = False
        self.socket_pair = socket.socketpair()

    def run(self, timeout: float) -> None:
        """Dispatch and handle what is pending, until told to quit."""
        while not self.quit:
            say("sleeping in select")
            readable, _, _ = select.select([self.socket_pair[1]], [], [], timeout)
            if readable:
                self.handle_wakeup()
            else:
                say("time-out")
            self.handle_pending_channel()

    def clear(self) -> None:
        """Close the pair; when nobody can wake the loop any more."""
        for end in self.socket_pair:
            end.close()

    def wakeup(self) -> None:
        """Write a byte: `event_loop_wakeup`, in another thread."""
        self.socket_pair[0].send(b"a")

    def handle_wakeup(self) -> None:
        """Read what was written; how many bytes does not matter, and more than one may be there."""
        count = len(self.socket_pair[1].recv(4096))
        say(f"wakeup by {count} byte{'s' * (count > 1)}")

    def do_channel_event(self, what: str, byte: bool) -> None:
        """Have ``what`` done in the loop's own thread.  Any thread."""
        with self.lock:
            self.pending.append((what, time.monotonic()))
        if threading.current_thread() is self.owner_thread:
            self.handle_pending_channel()
        elif byte:
            self.wakeup()

    def handle_pending_channel(self) -> None:
        """Do what is pending.  The list is swapped, so that the lock is not held meanwhile."""
        with self.lock:
            pending, self.pending = self.pending, []
        for what, since in pending:
            say(f"handled: {what}, after {(time.monotonic() - since) * 1000:.0f} ms")
            self.quit = self.quit or what == "quit"


class EventLoopThread:
    """A thread whose loop is ready when `start` returns."""

    def __init__(self, name: str, timeout: float) -> None:
        self.timeout = timeout
        self.condition = threading.Condition()
        self.event_loop: EventLoop | None = None
        self.thread = threading.Thread(target=self.run, name=name, daemon=True)

    def start(self) -> EventLoop:
        """Start the thread and wait for its loop.  `while`: a condition may wake without cause."""
        self.thread.start()
        with self.condition:
            while self.event_loop is None:
                self.condition.wait()
        say(f"event loop thread started: {self.thread.name}")
        return self.event_loop

    def run(self) -> None:
        """Make the loop in the thread that will own it, say so, and run it."""
        with self.condition:
            self.event_loop = EventLoop()
            say("event loop thread init and signal")
            self.condition.notify()
        self.event_loop.run(self.timeout)


def rest(seconds: float) -> None:
    """Sleep; for 0 seconds not at all, where even `sleep(0)` lets another thread run."""
    if seconds:
        time.sleep(seconds)


@click.command("wakeup", help=__doc__)
@click.option("--byte/--no-byte", default=True, show_default=True, help="Write the byte.")
@click.option(
    "--timeout",
    type=click.FloatRange(0),
    default=1000,
    show_default=True,
    metavar="MS",
    help="What the dispatcher sleeps at most.",
)
@click.option(
    "--interval",
    type=click.FloatRange(0),
    default=200,
    show_default=True,
    metavar="MS",
    help="Rest before each event.",
)
@click.option("--events", type=click.IntRange(0), default=3, show_default=True, help="How many.")
def main(byte: bool, timeout: float, interval: float, events: int) -> None:
    """Hand events to a sub-reactor."""
    threading.current_thread().name = "main thread"
    sub_reactor = EventLoopThread("Thread-1", timeout / 1000)
    loop = sub_reactor.start()
    for number in range(1, events + 1):
        rest(interval / 1000)
        say(f"add channel event {number}")
        loop.do_channel_event(f"channel event {number}", byte)
    rest(interval / 1000)
    loop.do_channel_event("quit", byte)
    sub_reactor.thread.join()
    loop.clear()


if __name__ == "__main__":
    run_program(main)

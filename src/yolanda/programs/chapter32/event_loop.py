"""A loop, a pipe and a timer, with everything that the loop does.

Chapter 32.  A timer writes into a pipe; the pipe's other end is a channel, whose callback reads.
Watch the lines that begin with [msg], which are the framework's own: ``add channel`` for the
loop's wake-up pair and for the pipe, ``wakeup`` when the dispatcher has come back, and ``activate
channel`` when the map has led from the descriptor to its channel.  With another dispatcher only
its name changes.

\b
    $ yolanda run event-loop
    $ yolanda run event-loop --dispatcher select
    $ yolanda run event-loop --interval 1000 --ticks 10
"""

import logging
import os
import sys

import click

from yolanda import Channel, EventLoop
from yolanda.programs.blocking import run_program


class PipeReader:
    """The channel's owner: reads from the pipe until its end, and then stops the loop."""

    def __init__(self, loop: EventLoop, fd: int) -> None:
        self.loop = loop
        self.channel = Channel(fd, on_read=self.event_read_callback)
        loop.add_channel(self.channel)

    def event_read_callback(self) -> None:
        """There is something to read, or the end of the stream."""
        data = os.read(self.channel.fd, 100)
        if data:
            print(f"read from the pipe: {data.decode()}")
        else:
            print("end of the stream: the channel leaves the loop")
            self.loop.remove_channel(self.channel)
            self.loop.stop()


class TickWriter:
    """The timer's owner: writes into the pipe, and closes it after so many times."""

    def __init__(self, loop: EventLoop, fd: int, interval: float, ticks: int) -> None:
        self.fd = fd
        self.ticks = 0
        self.most = ticks
        self.timer = loop.call_every(interval, self.timer_callback)

    def timer_callback(self) -> None:
        """Some time has passed."""
        if self.ticks == self.most:
            self.timer.cancel()
            os.close(self.fd)
        else:
            self.ticks += 1
            os.write(self.fd, f"tick {self.ticks}".encode())


@click.command("event-loop", help=__doc__)
@click.option(
    "--dispatcher",
    type=click.Choice(["auto", "select", "poll", "epoll", "epoll-et", "kqueue"]),
    default="auto",
    show_default=True,
    help="How the loop waits: auto takes the best of the platform.",
)
@click.option(
    "--interval",
    type=click.FloatRange(1),
    default=200,
    show_default=True,
    metavar="MS",
    help="Milliseconds between two ticks.",
)
@click.option(
    "--ticks", type=click.IntRange(0), default=3, show_default=True, help="How many, then the end."
)
@click.option("--trace/--no-trace", default=True, show_default=True, help="Show the [msg] lines.")
def main(dispatcher: str, interval: float, ticks: int, trace: bool) -> None:
    """Run the loop until the pipe is closed."""
    logging.basicConfig(
        stream=sys.stdout,
        format="[msg] %(message)s",
        level=logging.DEBUG if trace else logging.WARNING,
    )
    reader, writer = os.pipe()
    with EventLoop(dispatcher) as loop:
        PipeReader(loop, reader)
        TickWriter(loop, writer, interval / 1000, ticks)
        loop.run()
        done = loop.statistics
    os.close(reader)
    print(f"the loop made {done.iterations} turns for {done.events} events")


if __name__ == "__main__":
    run_program(main)

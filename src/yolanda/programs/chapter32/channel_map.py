"""How a loop finds the channel of a descriptor, and how its map grows.

Chapter 32, the second exercise.  The map is an array whose index is the descriptor, which works
since the kernel always gives the lowest number that is free.  Watch when it grows, and that it
doubles: with n descriptors the entries that were ever copied are fewer than 2n, while an array
that grows by a fixed piece copies n*n/2 of them.

\b
    $ yolanda run channel-map
    $ yolanda run channel-map --descriptors 300
"""

import os

import click

from yolanda import Channel, ChannelMap
from yolanda.programs.blocking import run_program


@click.command("channel-map", help=__doc__)
@click.option(
    "--descriptors",
    type=click.IntRange(2),
    default=200,
    show_default=True,
    help="How many to open; the process's limit is `ulimit -n`.",
)
def main(descriptors: int) -> None:
    """Enter so many channels, look one up, and take them out again."""
    channels = ChannelMap()
    opened: list[int] = []
    copied = 0
    try:
        while len(opened) < descriptors:
            fd = os.open(os.devnull, os.O_RDONLY)
            opened.append(fd)
            before = len(channels.entries)
            channels.add(Channel(fd))
            if len(channels.entries) != before:
                copied += before
                print(f"descriptor {fd}: map_make_space, {before} -> {len(channels.entries)}")
        fd = opened[-1]
        print(f"{len(channels)} channels, {copied} entries copied in all")
        print(f"entries[{fd}] is {channels.entries[fd]!r}")
        print(f"entries[2] is {channels.entries[2]!r}: nobody watches the standard error")

        os.close(opened.pop(0))
        channels.remove(fd := opened.pop(0))
        os.close(fd)
        again = os.open(os.devnull, os.O_RDONLY)
        opened.append(again)
        print(
            f"closed {fd - 1} and {fd}; the next to be opened is {again}: the lowest that is free"
        )
    finally:
        for fd in opened:
            os.close(fd)


if __name__ == "__main__":
    run_program(main)

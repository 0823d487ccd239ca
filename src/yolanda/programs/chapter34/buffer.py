"""What a buffer does when bytes come and go: nothing, move them to the front, or grow.

Chapter 34.  The steps to take are its arguments, each a verb and a number of bytes: ``append`` and
``prepend`` write, ``take`` reads, ``receive`` lets so many bytes come through a socket, into the
room that there is and a spare behind it, by one readv.  In the picture `.` is front spare, `#` is
readable and `_` is writable, as in the course's three colours.

Watch make_room: bytes are moved to the front when what was used up there is enough, and
otherwise the buffer grows.  And watch the first append: an empty buffer takes the bytes as they
are, without a copy, and has no room until it must.

\b
    $ yolanda run buffer
    $ yolanda run buffer append:300 append:100 take:350 append:200
    $ yolanda run buffer append:10 append:10 receive:600 take:600 prepend:4
"""

import re
import socket

import click

from yolanda import Buffer
from yolanda.programs.blocking import run_program

STEPS = [
    "append:200",
    "append:200",
    "take:250",
    "append:300",
    "take:100",
    "receive:600",
    "take:750",
]
WIDTH = 48
MOST = 4000  # bytes that any system's socket buffer holds


def read_steps(
    context: click.Context, parameter: click.Parameter, steps: tuple[str, ...]
) -> list[tuple[str, int]]:
    """Split VERB:BYTES, for all of the arguments, or those that are taken if there are none."""
    taken = []
    for step in steps or STEPS:
        match = re.fullmatch(r"(append|prepend|take|receive):([0-9]{1,4})", step)
        if not match or not 0 < int(match[2]) <= MOST:
            raise click.BadParameter(f"{step!r} is no append, prepend, take or receive:1 to {MOST}")
        taken.append((match[1], int(match[2])))
    return taken


def picture(buffer: Buffer) -> str:
    """Draw the three parts, in their proportions."""
    parts = (buffer.front_spare, buffer.readable, buffer.writable)
    total = max(sum(parts), 1)
    ends = [round(sum(parts[: n + 1]) / total * WIDTH) for n in range(3)]
    return "." * ends[0] + "#" * (ends[1] - ends[0]) + "_" * (ends[2] - ends[1])


def show(step: str, buffer: Buffer, what: str) -> None:
    """Print a step's result."""
    sizes = f"{buffer.front_spare:>11} {buffer.readable:>8} {buffer.writable:>8}"
    print(f"{step:<12} {sizes}  |{picture(buffer):<{WIDTH}}| {what}".rstrip())


def what_make_room_did(before: tuple[int, int, int], buffer: Buffer, size: int) -> str:
    """Tell by the sizes which way it went; ``before`` and after are front, readable, writable."""
    front, readable, writable = before
    if not readable and not buffer.writable:
        return "taken as it is, without a copy"
    if size <= writable:
        return "there is room"
    capacity = front + readable + writable
    if capacity == buffer.front_spare + buffer.readable + buffer.writable:
        return f"moved {readable} bytes to the front"
    return f"grown to {buffer.front_spare + buffer.readable + buffer.writable}"


def receive(buffer: Buffer, size: int) -> None:
    """Let ``size`` bytes come through a socket and read them: `buffer_socket_read`."""
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.sendall(b"r" * size)
        buffer.read_from(near.fileno())


@click.command("buffer", help=__doc__)
@click.argument("steps", nargs=-1, callback=read_steps, metavar="[STEP]...")
def main(steps: list[tuple[str, int]]) -> None:
    """Take the steps, and draw the buffer after each."""
    buffer = Buffer()
    print(f"{'':<12} front_spare readable writable")
    for verb, size in steps:
        before = buffer.front_spare, buffer.readable, buffer.writable
        what = ""
        match verb:
            case "append":
                buffer.append(b"a" * size)
                what = what_make_room_did(before, buffer, size)
            case "receive":
                receive(buffer, size)
                room = min(size, before[2])
                what = what_make_room_did(before, buffer, size)
                if before[1]:
                    what = f"{room} into the room, {size - room} into the spare; {what}"
            case "prepend":
                buffer.prepend(b"p" * size)
                what = "into the front spare" if size <= before[0] else "room made in front"
            case "take":
                if size > buffer.readable:
                    raise click.UsageError(f"take:{size}, but {buffer.readable} are readable")
                buffer.retrieve(size)
                what = "" if buffer.readable else "empty: both indexes back to 0"
        show(f"{verb} {size}", buffer, what)


if __name__ == "__main__":
    run_program(main)

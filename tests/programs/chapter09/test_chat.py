"""The chat room among guests of all sorts, and with a thousand of them."""

import functools
import resource
import selectors
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from yolanda.labs.stage import Actor, Stage
from yolanda.programs.chapter09.chat import read
from yolanda.programs.chat.room import LINES_A_SECOND, clean, is_name

THOUSAND = 1000


@pytest.fixture
def room(stage: Stage) -> Actor:
    return stage.start("chat", "--port", "0")


@pytest.fixture
def visit(telnet: Callable[..., Any], room: Actor) -> Callable[..., Any]:
    return functools.partial(telnet, room.port())


Visit = Callable[..., Any]


# ---- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ann", "小红", "a-b_c.d", "Ünal", "7of9", "मीना", "x" * 20])
def test_good_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name", ["", "x" * 21, "a b", "-ann", "<ann>", "a\x1b[2J", "a\u202eb", "*"]
)
def test_bad_names(name: str) -> None:
    assert not is_name(name)


def test_a_name_has_one_holder_however_it_is_written(visit: Visit) -> None:
    visit("ann")
    other = visit()
    other.say("ANN")
    other.hear("* ANN is taken")
    other.say("ａｎｎ")  # full width
    other.hear("* ann is taken")
    other.say("an n")
    other.hear("* a name has up to 20")
    other.say("bob")
    other.hear("* hello bob")


def test_another_name_frees_the_old_one(visit: Visit) -> None:
    ann, bob = visit("ann"), visit("bob")
    ann.say("/nick bob")
    ann.hear("* bob is taken")
    ann.say("/nick Ann")  # one's own in other letters
    bob.hear("* ann is now Ann")
    ann.say("/nick eve")
    bob.hear("* Ann is now eve")
    bob.say("/nick ann")
    ann.hear("* bob is now ann")
    ann.say("/list")
    assert ann.hear("here:") == "* 2 here: eve, ann"


# ---- what goes round ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "heard"),
    [
        (b"hello", "hello"),
        ("大家好　🙂".encode(), "大家好　🙂"),
        (b"\xff\xfb\x1f\xff\xfd\x06hello\xff\xf4", "hello"),  # WILL, DO, and Ctrl+C
        (b"\xff\xfa\x18\x00xterm\xff\xf0hello", "hello"),  # a subnegotiation
        (b"hello\xff", "hello"),
        (b"\x1b[2J\x07\x08red", "\ufffd[2J\ufffd\ufffdred"),
        ("a\u202eb\x9b31m\u2028".encode(), "a\ufffdb\ufffd31m\ufffd"),
        (b"a\tb \xe4\xb8", "a b \ufffd"),
        (b" \x00 ", "\ufffd"),
    ],
)
def test_what_is_passed_on(sent: bytes, heard: str) -> None:
    assert clean(read(sent)) == heard


def test_everybody_else_hears_and_one_alone_is_told(visit: Visit) -> None:
    ann, bob, eve = visit("ann"), visit("bob"), visit("eve")
    ann.say("/msg BOB  a secret ")
    assert bob.hear("alone") == "<ann to you alone> a secret"
    assert ann.hear("alone") == "<you to bob alone> a secret"
    ann.say("")
    ann.say("good morning")
    assert bob.hear("<") == eve.hear("<") == "<ann> good morning"
    for wrong, answer in [
        ("/msg", "* /msg NAME TEXT"),
        ("/msg bob", "* /msg NAME TEXT"),
        ("/msg tom hi", "* nobody here is called tom"),
        ("/dance", "* there is no /dance"),
        ("/help", "/quit"),
    ]:
        ann.say(wrong)
        ann.hear(answer)


def test_one_without_a_name_is_not_in_the_room(visit: Visit) -> None:
    ann, nobody = visit("ann"), visit()
    nobody.say("/msg ann hi")
    nobody.hear("* your name first")
    nobody.say("/who")
    assert nobody.hear("here:") == "* 1 here: ann"
    nobody.say("/quit")
    nobody.hear("* good-bye")
    nobody.hear_end()
    visit("bob")
    assert ann.hear("* ") == "* bob has joined"  # and nothing before it


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", b"\r\0"])
def test_lines_end_in_any_way_and_come_in_pieces(visit: Visit, end: bytes) -> None:
    ann, bob = visit("ann"), visit()
    for byte in b"bob" + end:
        bob.say(bytes([byte]))
    bob.hear("* hello bob")
    bob.say(b"one" + end + b"two" + end)
    assert [ann.hear("<"), ann.hear("<")] == ["<bob> one", "<bob> two"]


# ---- guests that would harm the room -----------------------------------------------------------


def test_a_line_without_end_is_refused(visit: Visit) -> None:
    ann, bob = visit("ann"), visit("bob")
    try:
        bob.say(b"x" * 1_000_000)
        bob.hear_end()
    except (BrokenPipeError, ConnectionResetError):
        pass  # the room may be quicker
    assert ann.hear("bob has left") == "* bob has left (sent a line of more than 4096 bytes)"


def test_one_who_talks_too_fast_is_shown_out(visit: Visit) -> None:
    ann, bob = visit("ann"), visit("bob")
    bob.say(b"x\n" * 10 * LINES_A_SECOND)
    assert ann.hear("bob has left") == "* bob has left (talks too fast)"
    bob.hear("* good-bye (talks too fast)")
    bob.hear_end()
    ann.say("/who")
    assert ann.hear("here:") == "* 1 here: ann"


def test_one_who_does_not_read_is_shown_out(visit: Visit, room: Actor) -> None:
    ann, bob = visit("ann"), visit("bob")
    bob.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line = b"x" * 4000 + b"\n"
    for number in range(200):
        talker = visit(f"talker{number}")
        talker.say(line * (LINES_A_SECOND - 10) + b"that was all\n")
        ann.hear(f"<talker{number}> that was all")
        talker.socket.close()
        if room.said("bob left"):
            break
    room.expect(r"^bob left \(reads too slowly\)$")
    ann.say("/who")
    ann.hear("here: ann")


def test_one_who_is_killed_or_reset_has_left(stage: Stage, visit: Visit, room: Actor) -> None:
    ann, bob = visit("ann"), visit("bob")
    bob.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    bob.socket.close()
    assert ann.hear("bob has left") == "* bob has left"
    port = str(ann.socket.getpeername()[1])
    eve = stage.start("chatclient", "--port", port, "--name", "eve")
    ann.hear("* eve has joined")
    eve.kill()
    assert ann.hear("eve has left") == "* eve has left"


# ---- the programs ------------------------------------------------------------------------------


def test_ctrl_c_closes_the_room(visit: Visit, room: Actor, stage: Stage) -> None:
    ann = visit("ann")
    port = str(ann.socket.getpeername()[1])
    client = stage.start("chatclient", "--port", port, "--name", "bob")
    ann.hear("* bob has joined")
    room.interrupt()
    ann.hear_end()
    ann.socket.close()
    client.expect_exit(0)
    room.expect_exit()


def test_a_port_in_use_is_one_line(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        actor = stage.start("chat", "--port", str(listener.getsockname()[1]))
        actor.expect_exit(1)
    assert len(actor.lines) == 1
    assert "Address already in use" in actor.lines[0]


def test_nobody_to_talk_to(stage: Stage) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        actor = stage.start("chatclient", "--port", str(unused.getsockname()[1]))
        actor.expect_exit(1)
    assert "ECONNREFUSED" in actor.lines[0]


# ---- a thousand --------------------------------------------------------------------------------


@pytest.fixture
def _many_descriptors() -> Iterator[None]:
    """A thousand sockets here, and as many in the server, which inherits the limit."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = THOUSAND + 500
    if most not in (resource.RLIM_INFINITY, -1) and most < needed:
        pytest.skip(f"no more than {most} descriptors are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before, needed), most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


class Crowd:
    """Many guests at once, whose connections are read whenever something has come."""

    def __init__(self, port: str, size: int) -> None:
        self.selector = selectors.DefaultSelector()
        self.heard: dict[socket.socket, bytearray] = {}
        for number in range(size):
            guest = socket.create_connection(("127.0.0.1", int(port)), timeout=60)
            self.heard[guest] = bytearray()
            self.selector.register(guest, selectors.EVENT_READ)
            guest.sendall(b"guest%d\n" % number)

    @property
    def guests(self) -> list[socket.socket]:
        return list(self.heard)

    def all_hear(self, text: bytes, guests: list[socket.socket]) -> None:
        """Wait until every one of ``guests`` has heard ``text``."""
        waiting = {guest for guest in guests if text not in self.heard[guest]}
        while waiting:
            for key, _ in self.selector.select(60):
                guest = key.fileobj
                assert isinstance(guest, socket.socket)
                data = guest.recv(65536)
                assert data, "the room closed a connection"
                heard = self.heard[guest]
                seen_up_to = max(0, len(heard) - len(text))
                heard += data
                if heard.find(text, seen_up_to) >= 0:
                    waiting.discard(guest)

    def close(self) -> None:
        self.selector.close()
        for guest in self.heard:
            guest.close()


@pytest.mark.usefixtures("_many_descriptors")
def test_a_thousand_guests_hear_a_message_and_leave(
    stage: Stage, room: Actor, telnet: Callable[..., Any]
) -> None:
    port = room.port()
    crowd = Crowd(port, THOUSAND)
    try:
        guests = crowd.guests
        crowd.all_hear(b"* hello guest", guests)
        guests[0].sendall("听见了吗？\n".encode())
        crowd.all_hear("<guest0> 听见了吗？\r\n".encode(), guests[1:])
        guests[1].sendall(b"loud and clear\n")
        crowd.all_hear(b"<guest1> loud and clear\r\n", guests[:1])
        guests[0].sendall(b"/who\n")
        crowd.all_hear(b"* 1000 here: ", guests[:1])
        for guest in guests[: THOUSAND // 2]:
            guest.sendall(b"/quit\n")
    finally:
        crowd.close()  # the other half goes without a word
    stage.wait_until(
        lambda: sum(line.endswith(" left") for line in room.lines) == THOUSAND, "all have left"
    )
    last = telnet(port)
    last.say("/who")
    assert last.hear("here") == "* nobody is here"

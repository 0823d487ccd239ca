"""One chat room in two processes with a broker between them, which is there for real."""

import asyncio
import json
import shutil
import socket
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import nats
import pytest

from yolanda.labs.stage import Actor, Stage

NATS = shutil.which("nats-server")
SUBJECT = "yolanda.chat.lobby"
STRANGER = "0123456789abcdef"
"""The id of a process that the test plays."""

pytestmark = pytest.mark.skipif(NATS is None, reason="nats-server is not installed")

Come = Callable[..., Any]


class Broker:
    """A NATS server, which can be killed and come back at the same port."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.port = "-1"
        self.start()

    def start(self) -> None:
        assert NATS is not None
        self.actor = self.stage.start_command([NATS, "-a", "127.0.0.1", "-p", self.port])
        self.port = self.actor.expect(r"Listening for client connections on .*:(\d+)$")[1]
        self.actor.expect("Server is ready")

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def publish(self, *messages: bytes, subject: str = SUBJECT) -> None:
        """Send messages as another client of the broker."""

        async def send() -> None:
            client = await nats.connect(self.url)
            for message in messages:
                await client.publish(subject, message)
            await client.flush()
            await client.close()

        asyncio.run(send())

    def request(self, subject: str, message: bytes) -> bytes:
        """Ask as another client of the broker."""

        async def ask() -> bytes:
            client = await nats.connect(self.url)
            answer = await client.request(subject, message, timeout=30)
            await client.close()
            return answer.data

        return asyncio.run(ask())


class Rooms(NamedTuple):
    """A process of the chat."""

    actor: Actor
    port: str
    telnet: str


@pytest.fixture
def broker(stage: Stage) -> Broker:
    return Broker(stage)


@pytest.fixture
def open_rooms(stage: Stage, broker: Broker) -> Callable[..., Rooms]:
    def start(name: str, *options: str, joined: bool = True) -> Rooms:
        address = ("--port", "0", "--telnet", "0")
        actor = stage.start("chat-web", *address, "--broker", broker.url, *options, name=name)
        port = actor.port()
        telnet = actor.expect(r"^telnet: listening on .*:(\d+)$")[1]
        if joined:
            actor.expect("^joined the rooms at")
        return Rooms(actor, port, telnet)

    return start


def news(kind: str, process: str = STRANGER, **fields: object) -> bytes:
    return json.dumps({"process": process, "kind": kind, **fields}).encode()


# ---- one room ----------------------------------------------------------------------------------


def test_two_processes_are_one_room(open_rooms: Come, telnet: Come, web: Come) -> None:
    one, two = open_rooms("one"), open_rooms("two")
    ann = telnet(one.telnet, "ann")
    bob = web(two.port)
    until_seen(bob, ["ann"])
    bob.say("Ann")
    assert bob.hear("refused")["taken"]
    bob.say("bob")
    assert bob.hear("hello")["names"] == ["bob", "ann"]
    ann.hear("* bob has joined")
    ann.say("good morning")
    assert bob.hear("said") == {"kind": "said", "name": "ann", "text": "good morning"}
    bob.say("<b>大家好</b>")
    assert ann.hear("<") == "<bob> <b>大家好</b>"

    eve = telnet(two.telnet, "eve")
    ann.hear("* eve has joined")
    bob.say("/msg ANN a secret")
    assert ann.hear("alone") == "<bob to you alone> a secret"
    assert bob.hear("whispered") == {"kind": "whispered", "recipient": "ann", "text": "a secret"}
    ann.say("/msg bob another")
    assert bob.hear("whisper")["text"] == "another"
    assert ann.hear("alone") == "<you to bob alone> another"
    ann.say("/msg tom hi")
    ann.hear("* nobody here is called tom")
    ann.say("/who")
    assert ann.hear("here:") == "* 3 here: ann, bob, eve"
    bob.say("/nick Bob")
    ann.hear("* bob is now Bob")
    bob.say("/quit")
    ann.hear("* Bob has left")
    ann.say("/nick bob")
    eve.hear("* ann is now bob")


def until_seen(guest: Any, names: list[str]) -> None:
    """Ask again and again who is here."""
    deadline = time.monotonic() + 30
    while True:
        guest.say("/who")
        seen = guest.hear("present")["names"]
        if sorted(seen) == sorted(names):
            return
        assert time.monotonic() < deadline, f"{seen}, not {names}"
        time.sleep(0.05)


def test_whoever_comes_late_learns_who_is_there(open_rooms: Come, telnet: Come, web: Come) -> None:
    one = open_rooms("one")
    ann, bob = telnet(one.telnet, "ann"), telnet(one.telnet, "bob")
    two = open_rooms("two")
    until_seen(web(two.port), ["ann", "bob"])
    eve = telnet(two.telnet, "eve")
    eve.say("hello")
    for guest in (ann, bob):
        guest.hear("<eve> hello")


def test_channels_are_rooms_of_their_own(open_rooms: Come, telnet: Come, web: Come) -> None:
    one, two = open_rooms("one"), open_rooms("two", "--channel", "attic")
    ann, other_ann = telnet(one.telnet, "ann"), web(two.port, "ann")
    ann.say("hello")
    other_ann.say("/who")
    assert other_ann.hear("present")["names"] == ["ann"]


# ---- processes that end ------------------------------------------------------------------------


def test_a_process_that_stops_takes_its_guests_along(open_rooms: Come, telnet: Come) -> None:
    one, two = open_rooms("one"), open_rooms("two")
    ann, _ = telnet(one.telnet, "ann"), telnet(two.telnet, "bob")
    ann.hear("* bob has joined")
    two.actor.interrupt()
    two.actor.expect_exit(0)
    ann.hear("* bob has left")
    assert not two.actor.said("Traceback|ERROR|WARNING")


def test_a_process_that_is_killed_is_missed(open_rooms: Come, telnet: Come) -> None:
    one, two = open_rooms("one"), open_rooms("two")
    ann, _ = telnet(one.telnet, "ann"), telnet(two.telnet, "bob")
    ann.hear("* bob has joined")
    telnet(two.telnet, "eve")
    ann.hear("* eve has joined")
    two.actor.kill()
    ann.say("/msg bob are you there?")
    assert "bob cannot be reached" in ann.hear("are you there?")
    assert ann.hear("left") == "* bob, eve have left (their server is lost)"
    bob = telnet(one.telnet, "bob")  # the name is free
    bob.say("/who")
    assert bob.hear("here:") == "* 2 here: ann, bob"


def test_a_process_that_stood_still_is_taken_back(
    open_rooms: Come, telnet: Come, broker: Broker
) -> None:
    one, two = open_rooms("one"), open_rooms("two")
    ann, bob = telnet(one.telnet, "ann"), telnet(two.telnet, "bob")
    ann.hear("* bob has joined")
    two.actor.pause()
    ann.hear("* bob has left (their server is lost)")
    two.actor.resume()
    ann.hear("* bob has joined")
    ann.say("welcome back")
    bob.hear("<ann> welcome back")
    bob.say("/who")
    assert bob.hear("here:") == "* 2 here: bob, ann"


# ---- a broker that ends ------------------------------------------------------------------------


def test_guests_are_told_of_a_lost_broker(
    open_rooms: Come, telnet: Come, web: Come, broker: Broker
) -> None:
    one, two = open_rooms("one"), open_rooms("two")
    ann, bob = telnet(one.telnet, "ann"), web(two.port, "bob")
    ann.hear("* bob has joined")
    broker.actor.kill()
    ann.hear("* the other rooms are out of reach")
    assert bob.hear("apart")["names"] == ["ann"]
    ann.say("nobody hears this")
    ann.say("/msg bob nor this")
    ann.hear("* nobody here is called bob")
    eve = telnet(one.telnet, "eve")
    eve.hear("* the other rooms are out of reach")
    eve.say("I hear you")
    ann.hear("<eve> I hear you")
    broker.start()
    ann.hear("* the other rooms are within reach")
    ann.hear("* bob has joined")
    bob.hear("together")
    assert bob.hear("joined")["names"] == ["ann", "eve"]
    ann.say("back again")
    assert bob.hear("said")["text"] == "back again"  # and what was said meanwhile is not sent late


def test_a_name_that_two_took_while_apart_stays_with_the_first(
    open_rooms: Come, telnet: Come, web: Come, broker: Broker
) -> None:
    one, two = open_rooms("one"), open_rooms("two")
    eve = telnet(two.telnet, "eve")
    broker.actor.kill()
    one.actor.expect("^lost the rooms")
    two.actor.expect("^lost the rooms")
    first = telnet(one.telnet, "ann")
    second = web(two.port, "ann")
    broker.start()
    second.hear("notice", text="ann was there before you, elsewhere; /nick for a new name")
    assert second.hear("renamed")["name"] == "ann-2"
    eve.hear("* ann is now ann-2")
    third = web(one.port, "tom")
    until_seen(third, ["ann", "tom", "eve", "ann-2"])
    first.say("/msg ann-2 sorry")
    assert second.hear("whisper")["sender"] == "ann"


def test_a_broker_may_come_later(
    stage: Stage, open_rooms: Come, telnet: Come, broker: Broker
) -> None:
    broker.actor.kill()
    one = open_rooms("one", joined=False)
    one.actor.expect(r"^WARNING yolanda.chat: broker nats://127.*next try in")
    ann = telnet(one.telnet, "ann")
    ann.hear("* the other rooms are out of reach")
    broker.start()
    ann.hear("* the other rooms are within reach")
    one.actor.interrupt()
    one.actor.expect_exit(0)
    assert not one.actor.said("Traceback")


def test_a_program_without_its_broker_can_be_ended(open_rooms: Come, broker: Broker) -> None:
    broker.actor.kill()
    one = open_rooms("one", joined=False)
    one.actor.expect("next try in")
    one.actor.interrupt()
    one.actor.expect_exit(0)
    assert not one.actor.said("Traceback")


def test_what_is_no_broker_is_said_without_its_password(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"nats://ann:secret@127.0.0.1:{listener.getsockname()[1]}"
        actor = stage.start("chat-web", "--port", "0", "--broker", url)
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            warning = actor.expect(r"^WARNING yolanda.chat: broker .*next try in").string
    assert "secret" not in "".join(actor.lines)
    assert "nats://127.0.0.1:" in warning
    assert not actor.said("Traceback")


# ---- what comes from strangers -----------------------------------------------------------------


def test_what_is_malformed_is_ignored_with_a_line(
    open_rooms: Come, telnet: Come, broker: Broker
) -> None:
    one = open_rooms("one")
    ann = telnet(one.telnet, "ann")
    broker.publish(b"\xff\x00", b"[" * 100_000, news("said", name="eve", text="\x1b[2J"))
    for expected in ("not JSON", "not JSON", r"text is '\\x1b\[2J'"):
        one.actor.expect(
            rf"^WARNING yolanda.chat: broker .*: ignored a message on {SUBJECT}: {expected}$"
        )
    broker.publish(news("said", name="eve", text="hello"))
    ann.hear("<eve> hello")
    assert not one.actor.said("Traceback")


def test_whispers_of_strangers_are_checked(open_rooms: Come, telnet: Come, broker: Broker) -> None:
    one = open_rooms("one")
    ann = telnet(one.telnet, "ann")
    broker.publish(news("list?"))

    async def find() -> str:
        client = await nats.connect(broker.url)
        subscription = await client.subscribe(SUBJECT)
        message = await subscription.next_msg(timeout=30)
        await client.close()
        number: str = json.loads(message.data)["process"]
        return number

    subject = f"{SUBJECT}.{asyncio.run(find())}"
    words = {"sender": "eve", "recipient": "ANN", "text": "psst"}
    assert broker.request(subject, json.dumps(words).encode()) == b"heard"
    ann.hear("<eve to you alone> psst")
    assert broker.request(subject, json.dumps({**words, "recipient": "tom"}).encode()) == b"nobody"
    broker.publish(b"{}", subject=subject)
    one.actor.expect(r"ignored a message on .*: sender is missing$")


def test_a_process_that_missed_a_change_asks_for_the_list(
    open_rooms: Come, telnet: Come, broker: Broker
) -> None:
    one = open_rooms("one")
    ann = telnet(one.telnet, "ann")
    broker.publish(news("list", guests=[["eve", 1.0]], revision=1))
    ann.hear("* eve has joined")
    broker.publish(news("joined", name="tom", since=2.0, revision=2))
    ann.hear("* tom has joined")

    async def answer() -> None:
        client = await nats.connect(broker.url)
        subscription = await client.subscribe(SUBJECT)
        await client.publish(SUBJECT, news("left", name="eve", reason="", revision=4))
        while True:
            message = json.loads((await subscription.next_msg(timeout=30)).data)
            if message["kind"] == "your list?" and message["of"] == STRANGER:
                break
        await client.publish(SUBJECT, news("list", guests=[["tom", 2.0]], revision=4))
        await client.publish(SUBJECT, news("gone"))
        await client.flush()
        await client.close()

    asyncio.run(answer())
    ann.hear("* eve has left")
    ann.hear("* tom has left (their server has stopped)")

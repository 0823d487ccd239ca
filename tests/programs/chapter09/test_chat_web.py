"""The chat room by browser and by telnet: one room, and the same rules for all."""

import json
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from websockets.exceptions import InvalidStatus

from yolanda.labs.stage import Actor, Stage
from yolanda.programs.chat.room import LINES_A_SECOND, LONGEST_LINE, LONGEST_NAME

Come = Callable[..., Any]


class Rooms(NamedTuple):
    """A process that is open for browsers and for telnet."""

    actor: Actor
    port: str
    telnet: str


def start(stage: Stage, *options: str, port: str = "0", name: str | None = None) -> Rooms:
    actor = stage.start("chat-web", "--port", port, "--telnet", "0", *options, name=name)
    port = actor.port()
    return Rooms(actor, port, actor.expect(r"^telnet: listening on .*:(\d+)$")[1])


@pytest.fixture
def room(stage: Stage) -> Rooms:
    return start(stage)


# ---- one room for both -------------------------------------------------------------------------


def test_telnet_and_browser_are_in_the_same_room(room: Rooms, telnet: Come, web: Come) -> None:
    ann, bob = web(room.port, "ann"), telnet(room.telnet, "bob")
    assert ann.hear("joined")["names"] == ["bob"]
    ann.say("good morning")
    assert bob.hear("<") == "<ann> good morning"
    bob.say("same <b>to</b> you")
    assert ann.hear("said") == {"kind": "said", "name": "bob", "text": "same <b>to</b> you"}
    bob.say("/msg ann a secret")
    assert ann.hear("whisper") == {"kind": "whisper", "sender": "bob", "text": "a secret"}
    assert bob.hear("alone") == "<you to ann alone> a secret"
    ann.say("/msg BOB another")
    assert bob.hear("alone") == "<ann to you alone> another"
    assert ann.hear("whispered")["recipient"] == "bob"
    bob.say("/nick Bob")
    assert ann.hear("renamed") == {"kind": "renamed", "before": "bob", "name": "Bob"}
    ann.say("/who")
    assert ann.hear("present")["names"] == ["ann", "Bob"]
    ann.say("/help")
    assert "/quit" in ann.hear("notice")["text"]
    bob.socket.close()
    assert ann.hear("left") == {"kind": "left", "names": ["Bob"], "reason": ""}
    cat = telnet(room.telnet, "cat")
    ann.say("/quit")
    assert ann.hear("goodbye")["reason"] == ""
    assert ann.hear_end().rcvd.code == 1000
    cat.hear("* ann has left")


def test_a_name_has_one_holder_in_both(room: Rooms, telnet: Come, web: Come) -> None:
    telnet(room.telnet, "ann")
    other = web(room.port)
    other.say("ＡＮＮ")  # full width
    assert other.hear("refused")["taken"]
    other.say("<img src=x>")
    assert not other.hear("refused")["taken"]
    other.say("bob")
    assert other.hear("hello") == {"kind": "hello", "name": "bob", "names": ["ann", "bob"]}


def test_control_characters_are_not_passed_on(room: Rooms, telnet: Come, web: Come) -> None:
    bob, ann = telnet(room.telnet, "bob"), web(room.port, "ann")
    ann.say("\x1b[2Jone\ntwo\u202e")
    assert bob.hear("<") == "<ann> \ufffd[2Jone\ufffdtwo\ufffd"


# ---- guests that would harm the room -----------------------------------------------------------


def test_a_long_line_ends_the_websocket(room: Rooms, telnet: Come, web: Come) -> None:
    bob, ann = telnet(room.telnet, "bob"), web(room.port, "ann")
    ann.say("x" * (LONGEST_LINE + 1))
    assert ann.hear_end().rcvd.code == 1009
    reason = f"sent a line of more than {LONGEST_LINE} bytes"
    assert bob.hear("has left") == f"* ann has left ({reason})"


def test_bytes_are_no_text(room: Rooms, telnet: Come, web: Come) -> None:
    bob, ann = telnet(room.telnet, "bob"), web(room.port, "ann")
    ann.say(b"\x00\x01")
    assert ann.hear("goodbye")["reason"] == "sent what is no text"
    assert ann.hear_end().rcvd.code == 1008
    bob.hear("* ann has left (sent what is no text)")


def test_one_who_talks_too_fast_is_shown_out(room: Rooms, telnet: Come, web: Come) -> None:
    bob, ann = telnet(room.telnet, "bob"), web(room.port, "ann")
    frame = b"\x81\x81\0\0\0\0x"
    ann.websocket.socket.sendall(frame * 2 * LINES_A_SECOND)  # all within a second
    assert bob.hear("has left") == "* ann has left (talks too fast)"
    closed = ann.hear_end()
    assert (closed.rcvd.code, closed.rcvd.reason) == (1008, "talks too fast")


def test_one_who_does_not_read_is_shown_out(room: Rooms, telnet: Come, web: Come) -> None:
    ann = telnet(room.telnet, "ann")
    with socket.create_connection(("127.0.0.1", int(room.port)), timeout=60) as sloth:
        sloth.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sloth.sendall(
            b"GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            b"\x81\x85\0\0\0\0sloth"
        )
        ann.hear("* sloth has joined")
        line = b"x" * 4000 + b"\n"
        for number in range(200):
            talker = telnet(room.telnet, f"talker{number}")
            talker.say(line * (LINES_A_SECOND - 10) + b"that was all\n")
            ann.hear(f"<talker{number}> that was all")
            talker.socket.close()
            if room.actor.said("sloth left"):
                break
        room.actor.expect(r"^sloth left \(reads too slowly\)$")
    ann.say("/who")
    ann.hear("here: ann")


def test_one_who_is_lost_has_left(room: Rooms, telnet: Come, web: Come) -> None:
    bob, ann = telnet(room.telnet, "bob"), web(room.port, "ann")
    ann.websocket.socket.shutdown(socket.SHUT_RDWR)
    bob.hear("* ann has left")


# ---- whose page may come in --------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1"])
def test_the_pages_of_others_are_kept_out(room: Rooms, web: Come, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        web(room.port, origin=origin)
    assert refused.value.response.status_code == 403


def test_the_own_page_may_come_in(room: Rooms, web: Come) -> None:
    web(room.port, "ann", origin=f"http://127.0.0.1:{room.port}")


def test_origins_may_be_named(stage: Stage, web: Come) -> None:
    room = start(stage, "--origin", "https://example.org")
    web(room.port, "ann", origin="https://example.org")
    with pytest.raises(InvalidStatus) as refused:
        web(room.port, origin=f"http://127.0.0.1:{room.port}")
    assert refused.value.response.status_code == 403


# ---- the page ----------------------------------------------------------------------------------


def test_the_page_comes_with_a_strict_policy(room: Rooms) -> None:
    url = f"http://127.0.0.1:{room.port}/"
    with urllib.request.urlopen(url) as response:
        policy = response.headers["Content-Security-Policy"]
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        page = response.read().decode()
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|https?://(?!www\.w3)", page)
    assert f'maxlength="{LONGEST_NAME}"' in page
    assert f"const LONGEST = {LONGEST_LINE};" in page
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD")) as response:
        assert response.read() == b""
        assert int(response.headers["Content-Length"]) == len(page.encode())
    for path, method, status in [("x", "GET", 404), ("", "POST", 405), ("chat", "GET", 426)]:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(url + path, method=method))
        refused.value.close()
        assert refused.value.code == status


def test_people_talk_in_a_browser(room: Rooms, telnet: Come, open_tab: Come) -> None:
    bob = telnet(room.telnet, "bob")
    ann = open_tab(f"http://127.0.0.1:{room.port}/")
    ann.wait("!document.getElementById('door').hidden")
    ann.type("#name", "bob")
    ann.wait_for_text("bob is taken", "#refused")
    ann.evaluate("document.getElementById('name').value = ''")
    ann.type("#name", "ann")
    bob.hear("* ann has joined")
    ann.wait_for_text("you are ann", "#state")
    ann.wait("document.querySelectorAll('#people li').length === 2")

    ann.type("#words", "good morning")
    assert bob.hear("<") == "<ann> good morning"
    assert "good morning" in ann.text(".talk.mine")
    markup = "<img src=x onerror=alert(1)><script>alert(1)</script>&amp;"
    bob.say(markup)
    ann.wait_for_text(markup)
    assert ann.evaluate("document.querySelectorAll('#log img, #log script').length") == 0

    bob.say("/msg ann lunch?")
    ann.wait_for_text("lunch?", "#log .whisper")
    assert "to you alone" in ann.text("#log .whisper")
    ann.click("#people li:last-child button")
    ann.wait("document.getElementById('alone-name').textContent === 'bob'")
    ann.type("#words", "noodles")
    assert bob.hear("to you alone>") == "<ann to you alone> noodles"
    ann.wait_for_text("to bob alone")
    ann.click("#to-all")
    ann.type("#words", "x" * (LONGEST_LINE + 1))
    ann.wait_for_text(f"a line may have {LONGEST_LINE}", "#problem")

    hong = open_tab(f"http://127.0.0.1:{room.port}/")
    hong.wait("!document.getElementById('door').hidden")
    hong.type("#name", "小红")
    ann.wait_for_text("小红 has joined")
    ann.evaluate("document.getElementById('words').value = ''")
    ann.type("#words", "/nick Ann")
    hong.wait_for_text("ann is now Ann")
    ann.wait_for_text("you are Ann", "#state")
    bob.socket.close()
    hong.wait_for_text("bob has left")
    hong.wait("document.querySelectorAll('#people li').length === 2")
    assert hong.text("#count-here") == "2"
    ann.type("#words", "/quit")
    hong.wait_for_text("Ann has left")
    ann.wait_for_text("not in the room", "#state")
    ann.click("#again")
    hong.wait_for_text("Ann has joined")


@pytest.mark.parametrize(("width", "height"), [(390, 760), (320, 480), (1100, 760)])
def test_the_page_fits_a_screen(
    room: Rooms, telnet: Come, open_tab: Come, width: int, height: int
) -> None:
    bob = telnet(room.telnet, "bob")
    ann = open_tab(f"http://127.0.0.1:{room.port}/")
    ann.look(width, height, dark=True)
    ann.wait("!document.getElementById('door').hidden")
    ann.type("#name", "a" * LONGEST_NAME)
    bob.hear("has joined")
    for _ in range(30):
        bob.say("x" * 300)
    bob.say("the last")
    ann.wait_for_text("the last")
    assert ann.evaluate("document.documentElement.scrollWidth") <= width
    assert ann.evaluate("document.documentElement.scrollHeight") <= height
    for element in ("#send", "#words", ".talk:last-child .bubble"):
        box = ann.evaluate(f"document.querySelector('{element}').getBoundingClientRect().toJSON()")
        assert box["left"] >= 0
        assert box["right"] <= width
        assert box["bottom"] <= height
    dark = ann.evaluate("getComputedStyle(document.body).color")
    ann.look(width, height, dark=False)
    assert ann.evaluate("getComputedStyle(document.body).color") != dark


def test_the_page_comes_back_by_itself(stage: Stage, telnet: Come, open_tab: Come) -> None:
    room = start(stage)
    ann = open_tab(f"http://127.0.0.1:{room.port}/")
    ann.wait("!document.getElementById('door').hidden")
    ann.type("#name", "ann")
    ann.wait_for_text("you are ann", "#state")
    room.actor.kill()
    ann.wait_for_text("the connection is lost")
    ann.wait_for_text("trying again", "#state")
    assert ann.evaluate("document.getElementById('send').disabled")
    room = start(stage, port=room.port, name="the next one")
    bob = telnet(room.telnet, "bob")
    ann.wait_for_text("you are in the room again")
    bob.say("/msg ann welcome back")
    ann.wait_for_text("welcome back")


# ---- the program -------------------------------------------------------------------------------


def test_ctrl_c_tells_the_guests(room: Rooms, telnet: Come, web: Come) -> None:
    bob, ann = telnet(room.telnet, "bob"), web(room.port, "ann")
    room.actor.interrupt()
    assert ann.hear_end().rcvd.code == 1001
    bob.hear_end()
    bob.socket.close()
    room.actor.expect_exit(0)
    assert not room.actor.said("Traceback")


def test_a_used_telnet_port_is_one_line(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        actor = stage.start("chat-web", "--port", "0", "--telnet", port)
        actor.expect_exit(1)
    assert len(actor.lines) == 1
    assert "[EADDRINUSE]" in actor.lines[0]


@pytest.mark.parametrize(
    ("library", "options", "extra"),
    [("websockets", [], "websocket"), ("nats", ["--broker", "nats://127.0.0.1:1"], "nats")],
)
def test_a_missing_library_is_one_line(library: str, options: list[str], extra: str) -> None:
    arguments = ["yolanda", "run", "chat-web", "--port", "0", *options]
    program = (
        f"import sys; sys.modules[{library!r}] = None; sys.argv = {json.dumps(arguments)}\n"
        "from yolanda.cli import main; main()"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert answer.returncode == 1
    assert len(answer.stderr.splitlines()) == 1
    assert f"pip install 'yolanda[{extra}]'" in answer.stderr


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--broker", "127.0.0.1:4222"),
        ("--broker", "http://127.0.0.1:4222"),
        ("--broker", "nats://"),
        ("--broker", "nats://127.0.0.1:99999"),
        ("--channel", "a.b"),
        ("--channel", ""),
    ],
)
def test_a_bad_option_is_one_line(stage: Stage, option: str, value: str) -> None:
    actor = stage.start("chat-web", "--port", "0", option, value)
    actor.expect_exit(2)
    assert len(actor.lines) == 1
    assert f"'{option}'" in actor.lines[0]

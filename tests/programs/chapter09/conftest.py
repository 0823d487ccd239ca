"""Guests of the chat rooms, played by the tests: by telnet, by WebSocket, in a browser."""

import base64
import contextlib
import functools
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from yolanda.labs.stage import Stage

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE = 60
"""Seconds; a browser takes its time on a busy machine."""


class Visitor:
    """A guest who is connected by a socket of the test's own."""

    def __init__(self, stage: Stage, port: str, name: str = "") -> None:
        self.socket = stage.connect(port)
        self.heard = b""
        if name:
            self.say(name)
            self.hear(f"* hello {name}")

    def say(self, text: str | bytes) -> None:
        self.socket.sendall(text if isinstance(text, bytes) else text.encode() + b"\r\n")

    def hear(self, text: str) -> str:
        """Wait for a line with ``text``, and return it."""
        wanted = text.encode()
        while True:
            line, end, rest = self.heard.partition(b"\r\n")
            if not end:
                data = self.socket.recv(65536)
                assert data, f"the connection ended without {text!r}"
                self.heard += data
                continue
            self.heard = rest
            if wanted in line:
                return line.decode()

    def hear_end(self) -> None:
        """Wait until the room closes the connection."""
        try:
            while self.socket.recv(65536):
                continue
        except ConnectionResetError:
            return


class WebVisitor:
    """A guest who does what the page does, and is no browser."""

    def __init__(self, websocket: ClientConnection, name: str = "") -> None:
        self.websocket = websocket
        self.hear("welcome")
        if name:
            self.say(name)
            self.hear("hello")

    def say(self, line: str | bytes) -> None:
        self.websocket.send(line)

    def hear(self, kind: str, **expected: object) -> dict[str, Any]:
        """Wait for an event of ``kind`` with these fields, and return it."""
        while True:
            event: dict[str, Any] = json.loads(self.websocket.recv(timeout=PATIENCE))
            if event["kind"] == kind and expected.items() <= event.items():
                return event

    def hear_end(self) -> ConnectionClosed:
        """Wait until the room closes the WebSocket, and return how it did."""
        while True:
            try:
                self.websocket.recv(timeout=PATIENCE)
            except ConnectionClosed as closed:
                return closed


class Browser:
    """Chromium without a window, driven through the DevTools protocol."""

    def __init__(self, stage: Stage) -> None:
        assert CHROMIUM is not None
        self.actor = stage.start_command(
            [
                CHROMIUM,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--remote-debugging-port=0",
                f"--user-data-dir={stage.folder / 'browser'}",
                "about:blank",
            ],
            name="chromium",
        )
        address = self.actor.expect(r"DevTools listening on (ws://\S+)", within=PATIENCE)[1]
        self.stack = contextlib.ExitStack()
        self.connection: ClientConnection = self.stack.enter_context(
            connect(address, proxy=None, max_size=None, open_timeout=PATIENCE)
        )
        self.numbers = itertools.count(1)
        self.complaints: list[str] = []

    def close(self) -> None:
        self.command("Browser.close")
        self.stack.close()
        self.actor.expect_exit()

    def command(self, method: str, session: str = "", **parameters: object) -> dict[str, Any]:
        """Have the browser do something, and return its answer."""
        number = next(self.numbers)
        message: dict[str, object] = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self.connection.send(json.dumps(message))
        while True:
            answer = json.loads(self.connection.recv(timeout=PATIENCE))
            if answer.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(answer["params"]["exceptionDetails"]))
            elif answer.get("method") == "Log.entryAdded":
                self.complaints.append(answer["params"]["entry"]["text"])
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result


class Tab:
    """A page in a `Browser`, with a profile of its own."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.browser = browser
        context = browser.command("Target.createBrowserContext")["browserContextId"]
        target = browser.command("Target.createTarget", url="about:blank", browserContextId=context)
        self.session: str = browser.command(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )["sessionId"]
        for domain in ("Runtime", "Log", "Page"):
            self.command(f"{domain}.enable")
        self.command("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def command(self, method: str, **parameters: object) -> dict[str, Any]:
        return self.browser.command(method, self.session, **parameters)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, awaited if it is a promise."""
        answer = self.command(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until a condition holds, which can only change with the page."""
        seen = self.evaluate(
            f"""new Promise(resolve => {{
                const met = () => {{ try {{ return {condition}; }} catch {{ return false; }} }};
                const observer = new MutationObserver(check);
                const late = setTimeout(() => {{ observer.disconnect(); resolve(false); }}, 45000);
                function check() {{
                    if (!met()) return;
                    observer.disconnect(); clearTimeout(late); resolve(true);
                }}
                observer.observe(document, {{
                    attributes: true, childList: true, characterData: true, subtree: true,
                }});
                addEventListener("load", check);
                check();
            }})"""
        )
        assert seen, f"not seen: {condition}; the page says {self.text('body')!r}"

    def text(self, selector: str) -> str:
        """Return what can be read in an element."""
        text: str = self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")
        return text

    def wait_for_text(self, text: str, selector: str = "#log") -> None:
        """Wait until ``text`` is within an element."""
        element = f"document.querySelector({json.dumps(selector)})"
        self.wait(f"{element}.textContent.includes({json.dumps(text)})")

    def type(self, selector: str, text: str) -> None:
        """Type into a field, and press Enter."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")
        self.command("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
            self.command("Input.dispatchKeyEvent", type=kind, **key)

    def click(self, selector: str) -> None:
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def look(self, width: int, height: int, *, dark: bool, path: Path | None = None) -> None:
        """Take a size and a colour scheme, and a picture to ``path``."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if width < 600 else 1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])
        if path is not None:
            data = self.command("Page.captureScreenshot", format="png")["data"]
            path.write_bytes(base64.b64decode(data))


@pytest.fixture
def telnet(stage: Stage) -> Callable[..., Visitor]:
    """Come in by telnet: ``telnet(port, name)``."""
    return functools.partial(Visitor, stage)


@pytest.fixture
def web() -> Iterator[Callable[..., WebVisitor]]:
    """Come in by a WebSocket: ``web(port, name)``, and options of the client."""
    with contextlib.ExitStack() as stack:

        def come(port: str, name: str = "", **options: Any) -> WebVisitor:
            url = f"ws://127.0.0.1:{port}/chat"
            client = connect(url, proxy=None, open_timeout=PATIENCE, **options)
            return WebVisitor(stack.enter_context(client), name)

        yield come


@pytest.fixture
def open_tab(stage: Stage) -> Iterator[Callable[[str], Tab]]:
    """Open pages in a browser; in the end no script has failed, and nothing was refused."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    browser = Browser(stage)
    yield lambda url: Tab(browser, url)
    browser.close()
    refused = "net::ERR_CONNECTION_REFUSED"  # while there is no room, which a test may want
    assert [text for text in browser.complaints if refused not in text] == []

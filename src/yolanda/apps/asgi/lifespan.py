"""The start and the end of an ASGI application.  (ASGI, "Lifespan Protocol" 2.0.)"""

import asyncio
import logging
from typing import Any, Literal

from yolanda.apps.asgi.interface import AsgiApplication, Message

log = logging.getLogger("yolanda.asgi")

LifespanUse = Literal["auto", "on", "off"]


class LifespanFailed(Exception):
    """The application cannot start, or says that it has not ended well."""


class Lifespan:
    """Tells an application that it starts, and that it ends.

    - ``use``: ``"auto"`` goes on without an application that knows nothing of lifespans, ``"on"``
      does not, ``"off"`` never asks.

    It belongs to the thread of the asyncio loop in which it is started.
    """

    def __init__(self, application: AsgiApplication, use: LifespanUse = "auto") -> None:
        self.state: dict[str, Any] = {}
        """What the application wants each of its requests to know; they get copies."""
        self._application = application
        self._use = use
        self._task: asyncio.Task[None] | None = None
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._answer: asyncio.Future[Message | None] | None = None
        self._error: BaseException | None = None
        self._knows = False  # it has received the event, and not taken it for something else

    async def start(self) -> None:
        """Have the application start.  Raises `LifespanFailed` if it says that it cannot."""
        if self._use == "off":
            return
        self._task = asyncio.create_task(self._run(), name="yolanda-lifespan")
        answer = await self._ask("startup")
        if answer is None:
            # An application without lifespan mostly raises as soon as it sees such a scope.  One
            # that got further fails in its own start, and must not serve as if it had not.
            if self._use == "on" or (self._knows and self._error is not None):
                reason = repr(self._error) if self._error else "it returned"
                raise LifespanFailed(f"the application did not start: {reason}") from self._error
            log.debug("the application knows no lifespan (%r)", self._error)
            self._task = None
        elif answer["type"] == "lifespan.startup.failed":
            raise LifespanFailed(f"the application did not start: {answer.get('message') or '?'}")

    async def stop(self) -> None:
        """Have the application end.  Raises `LifespanFailed` if that did not go well."""
        if self._task is None:
            return
        answer = await self._ask("shutdown")
        if answer is None:
            if self._error is not None:
                raise LifespanFailed("the application did not end well") from self._error
        elif answer["type"] == "lifespan.shutdown.failed":
            raise LifespanFailed(
                f"the application did not end well: {answer.get('message') or '?'}"
            )

    async def _ask(self, event: str) -> Message | None:
        """Send an event and wait for the answer; None if the application has ended without one."""
        assert self._task is not None
        if self._task.done():
            return None
        self._answer = asyncio.get_running_loop().create_future()
        self._messages.put_nowait({"type": f"lifespan.{event}"})
        return await self._answer

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._application(scope, self._receive, self._send)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # such as sys.exit(): it is told like all else
            self._error = error
        finally:
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(None)

    async def _receive(self) -> Message:
        message = await self._messages.get()
        self._knows = True
        return message

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        answers = [
            f"lifespan.{event}.{result}"
            for event in ("startup", "shutdown")
            for result in ("complete", "failed")
        ]
        if kind not in answers:
            self._knows = False
            raise RuntimeError(f"the application sent {kind!r} in its lifespan")
        if self._answer is None or self._answer.done():
            raise RuntimeError(f"the application sent {kind!r} and was not asked")
        self._answer.set_result(message)

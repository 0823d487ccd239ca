"""What an ASGI application and its server have in common: the words, and how one is waited for.

(ASGI 3.0, and "HTTP & WebSocket ASGI Message Format" 2.4.)
"""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApplication = Callable[[Scope, Receive, Send], Awaitable[None]]

HIGH_WATER = 65536
"""Bytes of messages that the application has not received, and no more is read; bytes that the
client has not taken, and `send` waits."""

BODY_HIGH_WATER = 262144
"""Bytes of a request's body that the application has not received, and no more is read."""


class ClientDisconnected(ConnectionError):
    """What `send` raises when the client is gone; an application need not catch it."""


class Exchange:
    """What the server's side of a scope begins with: a way to wait until something has happened."""

    # The class's until somebody waits, which most never do.
    _waiters: list[asyncio.Future[None]] | None = None

    async def _change(self) -> None:
        """Wait until something has happened, whatever it is."""
        waiter = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if self._waiters is not None and waiter in self._waiters:
                self._waiters.remove(waiter)
            raise

    def _wake(self) -> None:
        """Something has happened."""
        waiters = self._waiters
        if waiters is not None:
            self._waiters = None
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)


def coroutine_function(application: AsgiApplication) -> AsgiApplication:
    """Return ``application``, or what calls it in a coroutine, and so in the context of that.

    Most are coroutine functions.  One that is not may do something before it returns what is to be
    awaited, and must not do it in the server's name.
    """
    called = application
    while isinstance(called, functools.partial):
        called = called.func
    method = called if inspect.isroutine(called) else type(called).__call__
    if inspect.iscoroutinefunction(method):
        if called is application and method is not called:
            # A bound method is called without a detour through the type.
            bound: AsgiApplication = method.__get__(application)
            return bound
        return application

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await application(scope, receive, send)

    return call


def unexpected(stage: str, kind: object) -> RuntimeError:
    """What `send` raises for a message of a ``kind`` that is not due at this ``stage``."""
    return RuntimeError(f"the application sent {kind!r} where {stage} was due")


def as_bytes(data: object) -> bytes:
    """A body or a part of one.  Raises `TypeError` for what is neither bytes nor like them."""
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise TypeError(f"a body is bytes, not {type(data).__name__}")

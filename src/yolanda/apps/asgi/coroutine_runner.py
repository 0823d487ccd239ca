"""Runs an application's coroutines: each is stepped at once, and becomes a task only if it waits.

Most requests are answered by a coroutine that never waits for anything.  A task for each would cost
more than the rest of what the server does, and put the answer off to the loop's next turn.  So the
first step is made right here.  But applications ask for the task that runs them (`asyncio.timeout`
and anyio's cancel scopes do, in that first step), and what they are told must be true for good.
Hence the *spare task*: a real one that waits, and in whose name and context variables first steps
are made.  A coroutine that does not wait leaves it as it was, for the next one.  A coroutine that
does wait is handed over to it: the task that it was told of is then the one that runs it to its
end, and the next coroutine gets a new spare.
"""

import asyncio
import contextvars
import types
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Awaitable, Coroutine, Generator
from types import CoroutineType
from typing import Any, Protocol


class Outcome(Protocol):
    """Who is told how a coroutine that waited has ended."""

    def ended(self, error: BaseException | None) -> None:
        """It has returned, or raised ``error``."""


class CoroutineRunner:
    """Runs coroutines in one asyncio loop, whose thread it belongs to.

    (`asyncio.tasks._enter_task` is for those who step coroutines themselves; see "Task lifetime
    support" in the standard library's documentation.)
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._clean = contextvars.copy_context()
        self._spare: _SpareTask | None = None
        self._waiting: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """How many coroutines have begun and not ended."""
        return len(self._waiting)

    def start(self, awaitable: Awaitable[object], outcome: Outcome) -> bool:
        """Step ``awaitable`` once; whether it has ended with that.

        What it raises in this step is raised here; what becomes of it after is told to
        ``outcome``.  If the caller is itself called by a task, the step is put off to the loop's
        next turn, and ``outcome`` is told of its end, too.
        """
        coroutine = awaitable if type(awaitable) is CoroutineType else _as_coroutine(awaitable)
        loop = self._loop
        spare = self._spare
        if spare is None:
            spare = self._spare = _SpareTask(loop, self._clean.copy())
        task = spare.task
        try:
            _enter_task(loop, task)
        except RuntimeError:  # a task is in its step already
            loop.call_soon(self._start_later, coroutine, outcome)
            return False
        try:
            waited_for = spare.context.run(coroutine.send, None)
        except StopIteration:
            if spare.context != self._clean or task.cancelling():
                self._discard_spare()
            return True
        except BaseException:
            self._discard_spare()
            raise
        finally:
            _leave_task(loop, task)
        self._spare = None
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        spare.become(coroutine, waited_for, outcome)
        return False

    def _start_later(self, coroutine: Coroutine[Any, Any, object], outcome: Outcome) -> None:
        try:
            ended = self.start(coroutine, outcome)
        except Exception as error:
            outcome.ended(error)
        else:
            if ended:
                outcome.ended(None)

    def cancel(self) -> None:
        """Cancel every coroutine that has not ended."""
        for task in list(self._waiting):
            task.cancel()

    async def wait(self, timeout: float) -> None:
        """Wait until all coroutines that have begun now have ended, for ``timeout`` s at most."""
        if self._waiting:
            await asyncio.wait(list(self._waiting), timeout=timeout)

    async def close(self) -> None:
        """Cancel all, and wait until they have ended."""
        self._discard_spare()
        while self._waiting:
            self.cancel()
            await asyncio.wait(list(self._waiting))

    def _discard_spare(self) -> None:
        if self._spare is not None:
            self._spare.task.cancel()
            self._spare = None


class _SpareTask:
    """A task that waits until there is a coroutine for it to run."""

    def __init__(self, loop: asyncio.AbstractEventLoop, context: contextvars.Context) -> None:
        self.context = context
        self._handed_over = loop.create_future()
        self._coroutine: Coroutine[Any, Any, object] | None = None
        self._waited_for: Any = None
        self._outcome: Outcome | None = None
        self.task: asyncio.Task[None] = loop.create_task(self._run(), context=context)

    def become(
        self, coroutine: Coroutine[Any, Any, object], waited_for: object, outcome: Outcome
    ) -> None:
        """Run ``coroutine`` from now on, which waits for ``waited_for``."""
        self._coroutine = coroutine
        self._waited_for = waited_for
        self._outcome = outcome
        if not self._handed_over.done():  # else the coroutine has cancelled itself
            self._handed_over.set_result(None)

    async def _run(self) -> None:
        thrown: BaseException | None = None
        if self._coroutine is None:
            try:
                await self._handed_over
            except asyncio.CancelledError as error:
                thrown = error
        coroutine, outcome = self._coroutine, self._outcome
        if coroutine is None or outcome is None:
            return  # nobody needed it
        try:
            await _rest_of(coroutine, self._waited_for, thrown)
        except asyncio.CancelledError as error:
            outcome.ended(error)
            raise
        except Exception as error:
            outcome.ended(error)
        else:
            outcome.ended(None)


@types.coroutine
def _rest_of(
    coroutine: Coroutine[Any, Any, object], waited_for: Any, thrown: BaseException | None
) -> Generator[Any, Any, None]:
    """Await the rest of ``coroutine``, whose first step waits for ``waited_for``.

    - ``thrown``: a cancellation that came meanwhile.
    """
    while True:
        if thrown is not None:
            try:
                waited_for = coroutine.throw(thrown)
            except StopIteration:
                return
            thrown = None
        if waited_for is not None:
            # Whoever has waited for the same future since has reset it.
            waited_for._asyncio_future_blocking = True
        try:
            yield waited_for
        except BaseException as error:
            thrown = error
        else:
            yield from coroutine
            return


async def _as_coroutine(awaitable: Awaitable[object]) -> object:
    return await awaitable

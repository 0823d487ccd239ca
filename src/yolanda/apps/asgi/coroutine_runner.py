"""Runs an application's coroutines: each is stepped at once, and becomes a task only if it waits.

Most requests are answered by a coroutine that never waits for anything.  A task for each would cost
more than the rest of what the server does, and put the answer off to the loop's next turn.  So the
first step is made right here.  But applications ask for the task that runs them (`asyncio.timeout`
and anyio's cancel scopes do, in that first step), and what they are told must be true for good.
Hence the *spare task*: a real one that waits, and in whose name and context variables first steps
are made.  A coroutine that does not wait leaves it as it was, for the next one.  A coroutine that
does wait is handed over to it: the task that it was told of is then the one that runs it to its
end, and the next coroutine gets a new spare.  It gets one, too, if this one has left traces: has
set a variable, cancelled its task, or given it to somebody who keeps it.
"""

import asyncio
import contextvars
import types
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Awaitable, Callable, Generator
from sys import getrefcount
from types import CoroutineType, TracebackType
from typing import Any, Protocol
from weakref import getweakrefcount

_Steps = Generator[Any, Any, object]
"""What ``__await__`` of a coroutine returns."""

_DONE = object()
"""Stands for what a coroutine waits for that has ended."""
_BEGIN = object()
"""What a coroutine waits for that has not been stepped yet."""


class Outcome(Protocol):
    """Who is told how a coroutine that waited has ended."""

    def ended(self, error: BaseException | None) -> None:
        """It has returned, or raised ``error``."""


class CoroutineRunner:
    """Runs coroutines in one asyncio loop, whose thread it belongs to.

    ``with runner:`` is put around what starts many of them and is itself called by no task, such
    as a turn of the server's loop.  The spare task is then entered once, and not for each.

    (`asyncio.tasks._enter_task` is for those who step coroutines themselves; see "Task lifetime
    support" in the standard library's documentation.)
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._clean = contextvars.copy_context()
        self._spare: _SpareTask | None = None
        self._entered: _SpareTask | None = None  # the spare, while it is the current task
        self._references = 0  # to the task that is entered, as long as nobody else keeps it
        self._waiting: set[asyncio.Task[None]] = set()

    def __enter__(self) -> None:
        spare = self._spare
        if spare is None:
            spare = self._spare = _SpareTask(self._loop, self._clean.copy())
        _enter_task(self._loop, spare.task)
        self._entered = spare
        task = spare.task  # a reference of its own, as in `start`
        self._references = getrefcount(task)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        spare, self._entered = self._entered, None
        if spare is not None:
            _leave_task(self._loop, spare.task)

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
        spare = self._entered
        if spare is None:
            if asyncio.current_task(self._loop) is None:
                with self:
                    return self.start(coroutine, outcome)
            spare = _SpareTask(self._loop, self._clean.copy())
            self._hand_over(spare, coroutine.__await__(), _BEGIN, outcome)
            return False
        self._entered = None  # as long as it is in its step: it may come here again
        steps = coroutine.__await__()
        try:
            # No StopIteration is made, which would cost more.
            waited_for = spare.context.run(next, steps, _DONE)
        except BaseException:
            self._replace(spare).cancel()
            raise
        if waited_for is _DONE:
            self._entered = spare
            task = spare.task
            try:  # whether it has left something behind
                if (
                    spare.touched
                    or getrefcount(task) != self._references
                    or spare.context != self._clean
                    or getweakrefcount(task) != spare.weak_references
                ):
                    self._replace(spare).cancel()
            except Exception:  # of a variable's value that cannot be compared
                self._replace(spare).cancel()
            return True
        self._replace(spare)
        self._hand_over(spare, steps, waited_for, outcome)
        return False

    def _replace(self, spare: "_SpareTask") -> "asyncio.Task[None]":
        """Have another spare in place of this one, and return the task of this one."""
        _leave_task(self._loop, spare.task)
        self._spare = self._entered = None
        self.__enter__()
        return spare.task

    def _hand_over(
        self,
        spare: "_SpareTask",
        steps: _Steps,
        waited_for: object,
        outcome: Outcome,
    ) -> None:
        self._waiting.add(spare.task)
        spare.task.add_done_callback(self._waiting.discard)
        spare.become(steps, waited_for, outcome)

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
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.task.cancel()
            await asyncio.wait([spare.task])
        while self._waiting:
            self.cancel()
            await asyncio.wait(list(self._waiting))


class _Task(asyncio.Task[None]):
    """A task that notes when something is done to it; see `_SpareTask.touched`."""

    spare: "_SpareTask"

    def cancel(self, msg: Any | None = None) -> bool:
        self.spare.touched = True
        return super().cancel(msg)

    def add_done_callback(
        self,
        fn: Callable[[Any], object],
        /,
        *,
        context: contextvars.Context | None = None,
    ) -> None:
        self.spare.touched = True
        super().add_done_callback(fn, context=context)

    def set_name(self, value: object, /) -> None:
        self.spare.touched = True
        super().set_name(value)


class _SpareTask:
    """A task that waits until there is a coroutine for it to run."""

    def __init__(self, loop: asyncio.AbstractEventLoop, context: contextvars.Context) -> None:
        self.context = context
        self._handed_over = loop.create_future()
        self._steps: _Steps | None = None  # of the coroutine that it runs to its end
        self._waited_for: Any = None
        self._blocks = False
        self._outcome: Outcome | None = None
        running = self._run()
        # To its first yield: a task that is cancelled before it has begun ends without a word, and
        # this one may have something to say by then.
        running.send(None)
        self.touched = False
        """Whether something was done to the task that the next coroutine would inherit."""
        self.task = _Task(running, loop=loop, context=context)
        self.task.spare = self
        self.weak_references = getweakrefcount(self.task)

    def become(self, steps: _Steps, waited_for: Any, outcome: Outcome) -> None:
        """Make the rest of the ``steps``, the last of which waits for ``waited_for``."""
        self._steps = steps
        self._waited_for = waited_for
        self._outcome = outcome
        # A future that is awaited is marked until a task has seen it, and refuses to be awaited
        # meanwhile.  The mark is set again when this task gives it to asyncio.
        self._blocks = getattr(waited_for, "_asyncio_future_blocking", None) is True
        if self._blocks:
            waited_for._asyncio_future_blocking = False
        if not self._handed_over.done():  # else the coroutine has cancelled itself
            self._handed_over.set_result(None)

    async def _run(self) -> None:
        thrown: BaseException | None = None
        try:
            await _begin()
            if self._steps is None:
                await self._handed_over
        except asyncio.CancelledError as error:
            thrown = error
        steps, outcome = self._steps, self._outcome
        if steps is None or outcome is None:
            return  # nobody needed it
        try:
            await _rest_of(steps, self._waited_for, self._blocks, thrown)
        except GeneratorExit:  # the loop is closed, and nobody there to be told
            raise
        except asyncio.CancelledError as error:
            outcome.ended(error)
            raise
        except BaseException as error:  # SystemExit among them: it would end all others as well
            outcome.ended(error)
        else:
            outcome.ended(None)


@types.coroutine
def _begin() -> Generator[None, None, None]:
    yield


@types.coroutine
def _rest_of(
    steps: _Steps, waited_for: Any, blocks: bool, thrown: BaseException | None
) -> Generator[Any, Any, None]:
    """Await the rest of a coroutine, whose last step waits for ``waited_for``.

    - ``blocks``: that is a future, which has to be marked again;
    - ``thrown``: a cancellation that came meanwhile.
    """
    if waited_for is _BEGIN:
        if thrown is not None:
            steps.close()
            raise thrown
        yield from steps
        return
    if blocks and thrown is None:
        waited_for._asyncio_future_blocking = True
    while True:
        if thrown is not None:
            try:
                waited_for = steps.throw(thrown)
            except StopIteration:
                return
            thrown = None
        try:
            yield waited_for
        except BaseException as error:
            thrown = error
        else:
            yield from steps
            return


async def _as_coroutine(awaitable: Awaitable[object]) -> object:
    return await awaitable

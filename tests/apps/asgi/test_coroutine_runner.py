"""Coroutines that are stepped at once: what they are told of themselves must stay true."""

import asyncio
import contextvars
import warnings
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import pytest

from yolanda.apps.asgi.coroutine_runner import CoroutineRunner

PATIENCE = 20.0
strange: contextvars.ContextVar[Any] = contextvars.ContextVar("strange")
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Outcome:
    """Notes how a coroutine that waited has ended."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self.error: BaseException | None = None
        self.times = 0

    def ended(self, error: BaseException | None) -> None:
        self.error = error
        self.times += 1
        self.done.set()

    async def wait(self) -> BaseException | None:
        await asyncio.wait_for(self.done.wait(), PATIENCE)
        assert self.times == 1
        return self.error


class Stage:
    """Runs things in a runner as a server does: in a callback of the loop, and not in a task."""

    def __init__(self, runner: CoroutineRunner, outer: asyncio.AbstractEventLoop) -> None:
        self.runner = runner
        self.outer = outer

    async def start(self, *awaitables: Awaitable[Any]) -> list[Outcome]:
        """Start all of them in the same callback, and return how each ends."""
        outcomes: list[Outcome] = []
        begun = self.outer.create_future()

        def start() -> None:
            for awaitable in awaitables:
                outcome = Outcome()
                outcomes.append(outcome)
                try:
                    ended = self.runner.start(awaitable, outcome)
                except (Exception, asyncio.CancelledError) as error:
                    outcome.ended(error)
                else:
                    if ended:
                        outcome.ended(None)
            begun.set_result(None)

        self.outer.call_soon(start)
        await begun
        return outcomes

    async def run(self, *awaitables: Awaitable[Any]) -> list[BaseException | None]:
        """Start all of them, and wait for their ends."""
        return [await outcome.wait() for outcome in await self.start(*awaitables)]


LoopFactory = Callable[[], asyncio.AbstractEventLoop]
Play = Callable[[Callable[[Stage], Coroutine[Any, Any, None]]], None]


@pytest.fixture(params=["uvloop", "asyncio", "asyncio, debug"])
def play(loops: dict[str, LoopFactory], request: pytest.FixtureRequest) -> Play:
    """Play ``scene(stage)`` in a loop, in asyncio's debug mode or not."""
    name, _, debug = request.param.partition(", ")

    def run(scene: Callable[[Stage], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            outer = asyncio.get_running_loop()
            problems: list[dict[str, Any]] = []
            outer.set_exception_handler(lambda loop, context: problems.append(context))
            runner = CoroutineRunner(outer)
            await scene(Stage(runner, outer))
            await asyncio.wait_for(runner.close(), PATIENCE)
            assert problems == []
            assert asyncio.all_tasks() == {asyncio.current_task()}

        with (
            warnings.catch_warnings(),
            asyncio.Runner(loop_factory=loops[name], debug=debug == "debug") as runner,
        ):
            warnings.simplefilter("error")
            runner.run(main())

    return run


async def sleep_a_little() -> None:
    await asyncio.sleep(0.001)


# ---- ends ----------------------------------------------------------------------------------


def test_what_does_not_wait_is_over_at_once(play):
    async def scene(stage):
        done = []

        async def quick():
            done.append(1)

        outcomes = await stage.start(quick())
        assert done == [1]
        assert outcomes[0].times == 1
        assert stage.runner.waiting == 0

    play(scene)


def test_what_waits_is_told_of_later(play):
    async def scene(stage):
        go = stage.outer.create_future()

        async def slow():
            await go

        (outcome,) = await stage.start(slow())
        assert outcome.times == 0
        assert stage.runner.waiting == 1
        go.set_result(None)
        assert await outcome.wait() is None
        await asyncio.sleep(0)
        assert stage.runner.waiting == 0

    play(scene)


@pytest.mark.parametrize("waits", [0, 1, 2])
def test_exceptions_at_each_point(play, waits):
    async def scene(stage):
        async def failing():
            for _ in range(waits):
                await asyncio.sleep(0)
            raise LookupError(waits)

        (error,) = await stage.run(failing())
        assert isinstance(error, LookupError)
        (error,) = await stage.run(sleep_a_little())  # and the next is none the worse
        assert error is None

    play(scene)


@pytest.mark.parametrize("waits", [0, 1, 2])
def test_a_coroutine_that_cancels_itself(play, waits):
    async def scene(stage):
        seen = []

        async def cancelling():
            for _ in range(waits):
                await asyncio.sleep(0)
            task = asyncio.current_task()
            task.cancel()
            try:
                await asyncio.sleep(PATIENCE)
            except asyncio.CancelledError:
                seen.append(asyncio.current_task() is task)
                raise

        (error,) = await stage.run(cancelling())
        assert isinstance(error, asyncio.CancelledError)
        assert seen == [True]

    play(scene)


def test_a_coroutine_that_cancels_itself_and_does_not_wait(play):
    """The next one does not pay for it."""

    async def scene(stage):
        async def cancelling():
            asyncio.current_task().cancel()

        async def next_one():
            assert asyncio.current_task().cancelling() == 0
            await asyncio.sleep(0)

        assert await stage.run(cancelling(), next_one()) == [None, None]

    play(scene)


def test_cancelled_in_the_same_turn_as_it_begins(play):
    async def scene(stage):
        ended = []

        async def waiting():
            try:
                await asyncio.sleep(PATIENCE)
            finally:
                ended.append(1)

        async def cancelling():
            stage.runner.cancel()

        errors = await stage.run(waiting(), waiting(), cancelling())
        assert [type(error) for error in errors[:2]] == [asyncio.CancelledError] * 2
        assert ended == [1, 1]

    play(scene)


def test_cancellation_raised_in_the_first_step(play):
    async def scene(stage):
        cancelled = stage.outer.create_future()
        cancelled.cancel()

        async def waiting():
            await cancelled

        (error,) = await stage.run(waiting())
        assert isinstance(error, asyncio.CancelledError)

    play(scene)


def test_a_coroutine_that_does_not_heed_its_cancellation(play):
    async def scene(stage):
        async def stubborn():
            try:
                await asyncio.sleep(PATIENCE)
            except asyncio.CancelledError:
                await asyncio.sleep(0)

        (outcome,) = await stage.start(stubborn())
        stage.runner.cancel()
        assert await outcome.wait() is None

    play(scene)


@pytest.mark.parametrize("what", [5, None, "text", object()])
def test_what_is_no_awaitable(play, what):
    async def scene(stage):
        (error,) = await stage.run(what)
        assert isinstance(error, TypeError)

    play(scene)


@pytest.mark.parametrize("waits", [0, 1])
def test_what_asyncio_cannot_wait_for(play, waits):
    class Strange:
        def __await__(self):
            yield "something of another library"

    async def scene(stage):
        seen = []

        async def strange():
            for _ in range(waits):
                await asyncio.sleep(0)
            try:
                await Strange()
            except RuntimeError as error:
                seen.append(error)
                raise

        (error,) = await stage.run(strange())
        assert isinstance(error, RuntimeError)
        assert seen == [error]

    play(scene)


def test_awaitables_of_other_kinds(play):
    class Awaitable:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()

    async def scene(stage):
        future = stage.outer.create_future()
        stage.outer.call_soon(future.set_result, None)
        assert await stage.run(Awaitable(), future) == [None, None]

    play(scene)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_what_would_end_a_process_ends_the_coroutine_alone(play, error):
    async def scene(stage):
        async def failing():
            await asyncio.sleep(0)
            raise error

        async def going_on():
            await sleep_a_little()

        assert await stage.run(failing(), going_on()) == [error, None]

    play(scene)


# ---- who and where -------------------------------------------------------------------------


def test_the_task_is_the_same_from_the_first_step_on(play):
    async def scene(stage):
        tasks = []

        async def asking():
            mine = [asyncio.current_task()]
            for _ in range(3):
                await asyncio.sleep(0)
                mine.append(asyncio.current_task())
            tasks.append(mine)

        assert await stage.run(asking(), asking(), asking()) == [None] * 3
        for mine in tasks:
            assert mine[0] is not None
            assert mine == [mine[0]] * 4
        assert len({mine[0] for mine in tasks}) == 3

    play(scene)


def test_variables_are_not_shared(play):
    async def scene(stage):
        seen = []

        async def setting(name, waits):
            seen.append((name, variable.get()))
            variable.set(name)
            for _ in range(waits):
                await asyncio.sleep(0)
            seen.append((name, variable.get()))

        await stage.run(*(setting(f"{n}", n % 3) for n in range(12)))
        assert sorted(seen) == sorted(
            pair for n in range(12) for pair in ((f"{n}", "unset"), (f"{n}", f"{n}"))
        )
        assert variable.get() == "unset"

    play(scene)


def test_variables_reach_tasks_and_callbacks(play):
    async def scene(stage):
        seen = []

        async def child():
            seen.append(variable.get())

        async def setting():
            variable.set("mine")
            task = asyncio.create_task(child())
            asyncio.get_running_loop().call_soon(lambda: seen.append(variable.get()))
            await task
            await asyncio.sleep(0)

        await stage.run(setting())
        assert seen == ["mine", "mine"]

    play(scene)


def test_a_token_of_the_first_step_is_good_later(play):
    async def scene(stage):
        seen = []

        async def setting():
            token = variable.set("mine")
            await asyncio.sleep(0)
            variable.reset(token)
            seen.append(variable.get())

        assert await stage.run(setting()) == [None]
        assert seen == ["unset"]

    play(scene)


@pytest.mark.parametrize("keep", ["list", "weak", "callback", "variable", "numpy"])
def test_a_task_that_somebody_keeps_is_nobody_else_s(play, keep):
    """Registries are keyed by it, of sessions for instance."""

    class Incomparable:
        def __eq__(self, other):
            raise ValueError("ambiguous")

        __hash__ = None

    registry = []
    weak = weakref.WeakKeyDictionary()
    ended = []
    seen = []

    async def scene(stage):
        async def keeping():
            task = asyncio.current_task()
            if keep == "list":
                registry.append(task)
            elif keep == "weak":
                weak[task] = "mine"
            elif keep == "callback":
                task.add_done_callback(ended.append)
            elif keep == "variable":
                variable.set("mine")
            else:
                strange.set(Incomparable())

        async def next_one():
            task = asyncio.current_task()
            seen.append(task in registry or task in weak or variable.get() == "mine")

        assert await stage.run(keeping(), next_one(), keeping(), next_one()) == [None] * 4
        assert seen == [False, False]
        await asyncio.sleep(0.001)
        assert len(ended) == (2 if keep == "callback" else 0)

    strange.set(Incomparable())
    play(scene)


def test_a_task_that_nobody_keeps_serves_many(play):
    async def scene(stage):
        seen = set()

        async def quick():
            seen.add(id(asyncio.current_task()))
            async with asyncio.timeout(PATIENCE):
                variable.reset(variable.set("for a while"))

        await stage.run(*(quick() for _ in range(10)))
        assert len(seen) == 1

    play(scene)


# ---- time-outs, groups and scopes ----------------------------------------------------------


@pytest.mark.parametrize("waits", [0, 1])
@pytest.mark.parametrize("delay", [-1, 0, 0.001])
def test_timeout(play, waits, delay):
    async def scene(stage):
        async def hurried():
            for _ in range(waits):
                await asyncio.sleep(0)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(delay):
                    await asyncio.sleep(PATIENCE)
            assert asyncio.current_task().cancelling() == 0
            await asyncio.sleep(0)

        assert await stage.run(hurried(), hurried(), hurried()) == [None] * 3

    play(scene)


@pytest.mark.parametrize("waits", [0, 1])
def test_task_group(play, waits):
    async def scene(stage):
        async def failing():
            raise LookupError

        async def grouping():
            for _ in range(waits):
                await asyncio.sleep(0)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(failing())
                    group.create_task(asyncio.sleep(PATIENCE))
                    await asyncio.sleep(PATIENCE)
            except* LookupError:
                pass
            await asyncio.sleep(0)

        assert await stage.run(grouping(), grouping()) == [None] * 2

    play(scene)


@pytest.mark.parametrize("waits", [0, 1])
def test_cancel_scopes(play, waits):
    async def scene(stage):
        async def scoped():
            for _ in range(waits):
                await asyncio.sleep(0)
            with anyio.move_on_after(0.001) as scope:
                await anyio.sleep(PATIENCE)
            assert scope.cancelled_caught
            with anyio.CancelScope() as scope:
                scope.cancel()
                await anyio.sleep(PATIENCE)
            assert scope.cancelled_caught
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep, PATIENCE)
                group.cancel_scope.cancel()
            with anyio.fail_after(PATIENCE):
                await anyio.sleep(0)

        assert await stage.run(scoped(), scoped()) == [None] * 2

    play(scene)


def test_a_scope_that_is_left_without_waiting(play):
    """It must not be found open by who comes next."""

    async def scene(stage):
        async def scoped():
            with anyio.CancelScope() as scope:
                scope.cancel()

        async def next_one():
            assert anyio.current_effective_deadline() == float("inf")
            await anyio.sleep(0)

        assert await stage.run(scoped(), next_one(), scoped(), scoped(), next_one()) == [None] * 5

    play(scene)


def test_threads(play):
    async def scene(stage):
        seen = []

        async def calling():
            variable.set("mine")
            seen.append(await anyio.to_thread.run_sync(variable.get))

        assert await stage.run(calling(), calling()) == [None] * 2
        assert seen == ["mine", "mine"]

    play(scene)


# ---- futures -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3])
def test_a_future_that_several_wait_for(play, count):
    async def scene(stage):
        shared = stage.outer.create_future()
        got = []

        async def waiting():
            got.append(await shared)

        outcomes = await stage.start(*(waiting() for _ in range(count)))
        shared.set_result("it")
        assert [await outcome.wait() for outcome in outcomes] == [None] * count
        assert got == ["it"] * count

    play(scene)


def test_a_future_that_is_done_before_the_task_looks(play):
    async def scene(stage):
        shared = stage.outer.create_future()
        got = []

        async def waiting():
            got.append(await shared)

        async def setting():
            shared.set_result("it")

        assert await stage.run(waiting(), waiting(), setting()) == [None] * 3
        assert got == ["it", "it"]

    play(scene)


def test_a_task_that_fails_and_is_awaited(play):
    async def scene(stage):
        async def failing():
            await asyncio.sleep(0)
            raise LookupError

        async def waiting():
            with pytest.raises(LookupError):
                await asyncio.create_task(failing())
            with pytest.raises(LookupError):
                await asyncio.gather(failing(), failing())

        assert await stage.run(waiting()) == [None]

    play(scene)


def test_a_future_of_another_loop(play):
    async def scene(stage):
        other = asyncio.new_event_loop()
        foreign = other.create_future()

        async def waiting():
            await foreign

        (error,) = await stage.run(waiting())
        assert isinstance(error, RuntimeError)
        other.close()

    play(scene)


# ---- within another task -------------------------------------------------------------------


def test_started_in_the_step_of_a_task(play):
    """As when what an application sends makes room for the next request of its connection."""

    async def scene(stage):
        seen = []
        outcome = Outcome()
        task = asyncio.current_task()

        async def inner():
            seen.append(asyncio.current_task())
            seen.append(variable.get())

        variable.set("the starter's")
        assert stage.runner.start(inner(), outcome) is False
        assert seen == []
        assert stage.runner.waiting == 1
        assert await outcome.wait() is None
        await asyncio.sleep(0)
        assert stage.runner.waiting == 0
        assert seen[0] is not None
        assert seen[0] is not task
        assert seen[1] == "unset"

    play(scene)


@pytest.mark.parametrize("waits", [0, 1])
def test_that_fails(play, waits):
    async def scene(stage):
        async def failing():
            for _ in range(waits):
                await asyncio.sleep(0)
            raise LookupError

        outcome = Outcome()
        stage.runner.start(failing(), outcome)
        assert isinstance(await outcome.wait(), LookupError)

    play(scene)


def test_started_in_a_first_step(play):
    async def scene(stage):
        outcome = Outcome()
        seen = []

        async def inner():
            seen.append(asyncio.current_task())
            await asyncio.sleep(0)

        async def outer():
            seen.append(asyncio.current_task())
            assert stage.runner.start(inner(), outcome) is False

        assert await stage.run(outer()) == [None]
        assert await outcome.wait() is None
        assert len(seen) == 2

    play(scene)


# ---- the end of all ------------------------------------------------------------------------


def test_wait_is_bounded_and_close_ends_all(play):
    async def scene(stage):
        ended = []

        async def endless():
            try:
                await asyncio.sleep(PATIENCE)
            finally:
                await asyncio.sleep(0)
                ended.append(1)

        outcomes = await stage.start(endless(), endless(), asyncio.sleep(PATIENCE))
        await stage.runner.wait(0)
        assert stage.runner.waiting == 3
        await stage.runner.close()
        assert stage.runner.waiting == 0
        assert ended == [1, 1]
        assert [outcome.times for outcome in outcomes] == [1, 1, 1]

    play(scene)


def test_close_before_anything_has_begun(play):
    async def scene(stage):
        pass

    play(scene)


def test_put_off_starts_count_as_waiting_and_are_waited_for(play):
    async def scene(stage):
        outcome = Outcome()
        stage.runner.start(sleep_a_little(), outcome)
        await stage.runner.wait(PATIENCE)
        assert outcome.times == 1

    play(scene)

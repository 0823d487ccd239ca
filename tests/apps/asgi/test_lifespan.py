"""The start and the end of applications: those that know lifespans, and those that do not."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from yolanda.apps.asgi.lifespan import Lifespan, LifespanFailed

PATIENCE = 20.0


def run(scene: Coroutine[Any, Any, Any]) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(scene, PATIENCE)

    return asyncio.run(bounded())


async def of_http_only(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"


async def that_answers_everything(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200})


async def that_returns(scope: Any, receive: Any, send: Any) -> None:
    pass


def knowing(events: list[str], **answers: Any) -> Any:
    """An application that knows lifespans; ``answers`` are what it sends or raises."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for event in ("startup", "shutdown"):
            message = await receive()
            assert message == {"type": f"lifespan.{event}"}
            events.append(event)
            answer = answers.get(event, "complete")
            if isinstance(answer, BaseException):
                raise answer
            if answer == "return":
                return
            await send({"type": f"lifespan.{event}.{answer}", "message": "because"})

    return app


@pytest.mark.parametrize("use", ["auto", "on"])
def test_start_and_end(use: Any) -> None:
    events: list[str] = []

    async def scene() -> None:
        lifespan = Lifespan(knowing(events), use)
        await lifespan.start()
        assert events == ["startup"]
        await lifespan.stop()
        assert events == ["startup", "shutdown"]

    run(scene())


def test_scope_and_state() -> None:
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await receive()
        scope["state"]["pool"] = "open"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def scene() -> None:
        lifespan = Lifespan(app)
        await lifespan.start()
        assert lifespan.state == {"pool": "open"}
        await lifespan.stop()

    run(scene())
    assert scopes[0]["type"] == "lifespan"
    assert scopes[0]["asgi"] == {"version": "3.0", "spec_version": "2.0"}


def test_off() -> None:
    async def scene() -> None:
        lifespan = Lifespan(knowing([], startup=LookupError()), "off")
        await lifespan.start()
        await lifespan.stop()

    run(scene())


@pytest.mark.parametrize("app", [of_http_only, that_answers_everything, that_returns])
def test_an_application_that_knows_nothing_of_it(app: Any) -> None:
    async def scene() -> None:
        lifespan = Lifespan(app, "auto")
        await lifespan.start()
        await lifespan.stop()
        with pytest.raises(LifespanFailed, match="the application did not start"):
            await Lifespan(app, "on").start()

    run(scene())


@pytest.mark.parametrize("use", ["auto", "on"])
def test_start_that_fails(use: Any) -> None:
    """Also where lifespans are optional: what has begun to start must not serve."""

    async def scene() -> None:
        with pytest.raises(LifespanFailed, match="did not start: because"):
            await Lifespan(knowing([], startup="failed"), use).start()
        with pytest.raises(
            LifespanFailed, match=r"did not start: LookupError\('no pool'\)"
        ) as failed:
            await Lifespan(knowing([], startup=LookupError("no pool")), use).start()
        assert isinstance(failed.value.__cause__, LookupError)

    run(scene())


def test_end_that_fails() -> None:
    async def scene() -> None:
        for answers, text in (
            ({"shutdown": "failed"}, "did not end well: because"),
            ({"shutdown": LookupError()}, "did not end well"),
        ):
            lifespan = Lifespan(knowing([], **answers))
            await lifespan.start()
            with pytest.raises(LifespanFailed, match=text):
                await lifespan.stop()

    run(scene())


def test_an_application_that_returns_without_an_answer() -> None:
    async def scene() -> None:
        lifespan = Lifespan(knowing([], shutdown="return"))
        await lifespan.start()
        await lifespan.stop()

    run(scene())


def test_an_application_whose_lifespan_ends_too_early() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        raise LookupError

    async def scene() -> None:
        lifespan = Lifespan(app)
        await lifespan.start()
        await asyncio.sleep(0)
        with pytest.raises(LifespanFailed, match="did not end well"):
            await lifespan.stop()

    run(scene())


@pytest.mark.parametrize(
    "messages",
    [
        ["lifespan.startup.complete", "lifespan.startup.complete"],
        ["lifespan.startup.done"],
        ["http.response.start"],
    ],
)
def test_answers_that_nobody_has_asked_for(messages: list[str]) -> None:
    errors: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        try:
            for kind in messages:
                await send({"type": kind})
        except RuntimeError as error:
            errors.append(error)
            raise

    async def scene() -> None:
        lifespan = Lifespan(app)
        await lifespan.start()

    run(scene())
    assert len(errors) == 1
    assert "the application sent" in str(errors[0])


def test_variables_of_the_start_are_not_those_of_the_requests(serve: Callable[..., Any]) -> None:
    """State is what there is for that; it is copied for each request."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["count"] += 1
        scope["state"]["pool"].append(1)
        text = f"{scope['state']['count']} {len(scope['state']['pool'])}"
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": text.encode()})

    served = serve(app, state={"count": 0, "pool": []})
    assert [served.get()[1] for _ in range(3)] == [b"1 1", b"1 2", b"1 3"]

"""What both kinds of exchange have in common: waiting until something has happened."""

import asyncio

from yolanda.apps.asgi.interface import Exchange


def test_all_who_wait_are_woken_and_one_may_give_up() -> None:
    async def scenario() -> None:
        exchange = Exchange()
        first, second, third = [asyncio.create_task(exchange._change()) for _ in range(3)]
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        assert second.cancelled()
        assert not first.done()
        exchange._wake()
        await asyncio.wait_for(asyncio.gather(first, third), 20)
        exchange._wake()  # nobody is there

    asyncio.run(scenario())


def test_whoever_gives_up_again_and_again_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        exchange = Exchange()
        for _ in range(100):
            waiting = asyncio.create_task(exchange._change())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
        assert not exchange._waiters

    asyncio.run(scenario())


def test_who_is_cancelled_in_the_moment_of_waking_wakes_the_others() -> None:
    async def scenario() -> None:
        exchange = Exchange()
        first, second = [asyncio.create_task(exchange._change()) for _ in range(2)]
        await asyncio.sleep(0)
        first.cancel()
        exchange._wake()
        await asyncio.wait_for(second, 20)
        await asyncio.wait([first])
        assert first.cancelled()

    asyncio.run(scenario())

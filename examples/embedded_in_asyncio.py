"""The reactor inside asyncio's loop: one thread, and coroutines beside the handlers.

$ python examples/embedded_in_asyncio.py [ADDRESS]
$ curl http://127.0.0.1:43211/
"""

import asyncio
import signal
import sys

from yolanda import EventLoop
from yolanda.http import HttpRequest, HttpResponse, HttpServer

tasks: set[asyncio.Task[None]] = set()  # asyncio itself holds tasks weakly


async def answer(response: HttpResponse) -> None:
    await asyncio.sleep(0.1)
    response.text("asyncio has slept, the reactor has not\n")
    response.finish()


def on_request(request: HttpRequest, response: HttpResponse) -> None:
    response.defer()
    task = asyncio.get_running_loop().create_task(answer(response))
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def serve(address: str) -> None:
    outer = asyncio.get_running_loop()
    stopped = asyncio.Event()
    with EventLoop("epoll" if sys.platform == "linux" else "kqueue") as loop:
        outer.add_reader(loop.fileno(), loop.run_once, 0)
        server = HttpServer(address, on_request, loop=loop)
        for number in (signal.SIGINT, signal.SIGTERM):
            outer.add_signal_handler(number, server.stop, 5.0, stopped.set)
        server.start()
        print(f"serving {server.address}", flush=True)
        await stopped.wait()
        outer.remove_reader(loop.fileno())


def main(address: str = "127.0.0.1:43211") -> None:
    asyncio.run(serve(address))


if __name__ == "__main__":
    main(*sys.argv[1:])

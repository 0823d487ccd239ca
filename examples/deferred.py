"""A response that a thread makes, while the loop goes on serving others.

$ python examples/deferred.py [ADDRESS]
$ curl http://127.0.0.1:43211/30
"""

import sys
from concurrent.futures import ThreadPoolExecutor

from yolanda.http import HttpRequest, HttpResponse, HttpServer

executor = ThreadPoolExecutor(4)


def fibonacci(number: int) -> int:
    return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)


def answer(response: HttpResponse, number: int) -> None:
    """In a thread of the executor; `finish` may be called there."""
    response.text(f"{fibonacci(number)}\n")
    response.finish()


def on_request(request: HttpRequest, response: HttpResponse) -> None:
    text = request.path[1:]
    if len(text) > 2 or not text.isdecimal() or int(text) > 30:
        response.status = 400
        response.text(f"a number up to 30, not {text!r}\n")
        return
    response.defer()
    executor.submit(answer, response, int(text))


def main(address: str = "127.0.0.1:43211") -> None:
    server = HttpServer(address, on_request)
    with executor:
        server.run(on_started=lambda: print(f"serving {server.address}", flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])

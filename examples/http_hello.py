"""A page by its path, and the question back as JSON.

$ python examples/http_hello.py [ADDRESS]
$ curl -v 'http://127.0.0.1:43211/echo?a=1&b=2'
"""

import sys

from yolanda.http import HttpRequest, HttpResponse, HttpServer


def on_request(request: HttpRequest, response: HttpResponse) -> None:
    if request.path == "/network":
        response.text("hello, network programming")
    elif request.path == "/echo":
        response.json({"method": request.method, "query": request.query_items()})
    else:
        response.status = 404
        response.close = True


def main(address: str = "127.0.0.1:43211") -> None:
    server = HttpServer(address, on_request, threads=2)
    server.run(on_started=lambda: print(f"serving {server.address}", flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])

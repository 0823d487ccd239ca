"""A room: what one says, all hear.  A page for the browser comes with it.

$ python examples/websocket_chat.py [ADDRESS]
$ python -m websockets ws://127.0.0.1:43211/room
"""

import sys

from yolanda.http import HttpRequest, HttpResponse, HttpServer
from yolanda.websocket import (
    WebSocket,
    WebSocketOptions,
    accept_websocket,
    broadcast,
    origin_is_own,
)

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>A room</title>
<form><input autofocus autocomplete="off" placeholder="say something"></form>
<ol></ol>
<script>
  const room = new WebSocket(`ws://${location.host}/room`)
  const field = document.querySelector("input")
  room.onmessage = event => {
    const line = document.createElement("li")
    line.textContent = event.data
    document.querySelector("ol").prepend(line)
  }
  document.querySelector("form").onsubmit = event => {
    event.preventDefault()
    room.send(field.value)
    field.value = ""
  }
</script>
"""
OPTIONS = WebSocketOptions(max_message_size=4096)
room: set[WebSocket] = set()  # the only loop there is changes it


def on_open(websocket: WebSocket) -> None:
    room.add(websocket)
    broadcast(room, f"{websocket.peer_address} comes in, {len(room)} here")


def on_message(websocket: WebSocket, message: str | bytes) -> None:
    if isinstance(message, bytes):
        websocket.close(1003, "only text is spoken here")
    else:
        broadcast(room, f"{websocket.peer_address}: {message}")


def on_closed(websocket: WebSocket, code: int, reason: str) -> None:
    room.discard(websocket)
    broadcast(room, f"{websocket.peer_address} has left")


def on_request(request: HttpRequest, response: HttpResponse) -> None:
    if request.path == "/":
        response.html(PAGE)
    elif request.path != "/room":
        response.status = 404
    elif not origin_is_own(request):
        response.status = 403
    else:
        accept_websocket(
            request,
            response,
            options=OPTIONS,
            on_open=on_open,
            on_message=on_message,
            on_closed=on_closed,
        )


def main(address: str = "127.0.0.1:43211") -> None:
    server = HttpServer(address, on_request)
    server.run(on_started=lambda: print(f"serving {server.address}", flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])

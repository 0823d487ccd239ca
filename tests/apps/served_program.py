"""What the tests of worker processes run: a master, and workers with a small HTTP server.

It reads its options as JSON from the command line, and says on standard error what happens.
"""

import json
import logging
import os
import sys
import time
from typing import Any

from yolanda.address import Address, bind_socket
from yolanda.apps.processes.control import RequestLimit, run_servers
from yolanda.apps.processes.handle import WorkerHandle
from yolanda.apps.processes.master import Master
from yolanda.apps.processes.notify import Notifier, activated_sockets
from yolanda.http import HttpServer
from yolanda.http.request import HttpRequest
from yolanda.http.response import HttpResponse
from yolanda.transport.backoff import Backoff


def say(what: str) -> None:
    # In one piece, or lines of several processes run into each other.
    sys.stderr.write(f"{what} in {os.getpid()}\n")


def block_for_ever() -> None:
    say("blocked")
    while True:
        time.sleep(1000)


def main() -> int:
    options: dict[str, Any] = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    notifier = Notifier.from_environment()
    activated = activated_sockets()
    address = Address(fd=activated[0].fd) if activated else Address("127.0.0.1", 0)
    listener = bind_socket(address)
    listener.socket.listen(1024)
    folder = options.pop("folder", ".")
    requests = options.pop("max_requests", 0)
    if "backoff" in options:
        options["backoff"] = Backoff(**options["backoff"])
    hoard: list[bytearray] = []

    def flag(name: str) -> bool:
        return os.path.exists(os.path.join(folder, name))

    def run_worker(handle: WorkerHandle) -> int:
        if flag("fail"):
            return handle.fail("no such\nmodule")
        if flag("exit3"):
            return 3
        if flag("raise"):
            raise ValueError("wrong in the application")
        if flag("hang"):
            time.sleep(1000)
        if flag("die") or (flag("die-second") and handle.index == 1):
            os._exit(7)
        limit = RequestLimit(handle.retire, requests) if requests else None

        def on_request(request: HttpRequest, response: HttpResponse) -> None:
            if request.path == "/block":
                block_for_ever()
            if request.path == "/never":
                say("never")
                response.defer()
                return
            if request.path == "/grow":
                hoard.append(bytearray(os.urandom(1 << 20)) * 64)
            if request.path == "/slow":
                response.defer()
                server.loop.call_later(0.3, finish, response)
                return
            if request.path == "/environment":
                response.text(" ".join(os.environ))
                return
            if request.path == "/exit":
                os._exit(7)
            response.text(f"{os.getpid()} {handle.index}\n")
            if limit is not None:
                limit.count()

        def finish(response: HttpResponse) -> None:
            response.text("slow\n")
            response.finish()

        server = HttpServer(
            Address(fd=os.dup(listener.socket.fileno())), on_request, shared=handle.load
        )

        return run_servers(
            handle,
            [server],
            graceful_timeout=options.get("graceful_timeout", 30.0),
            on_reopen_logs=lambda: say("logs reopened"),
            on_reload_certificates=lambda: say("certificates reloaded"),
        )

    master = Master(
        run_worker,
        listeners=[listener],
        notifier=notifier,
        on_ready=lambda: say(f"listening on {listener.address}"),
        on_reopen_logs=lambda: say("master's logs reopened"),
        **options,
    )
    return master.run()


if __name__ == "__main__":
    sys.exit(main())

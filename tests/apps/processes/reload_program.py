"""What the tests of ``--reload`` run: a server whose answer is the text of a module.

Its first argument is a folder with the module; the second is ``poll`` or ``events``.
"""

import importlib
import logging
import os
import sys
import time

from yolanda.address import Address, bind_socket
from yolanda.apps.processes.control import run_servers
from yolanda.apps.processes.handle import WorkerHandle
from yolanda.apps.processes.reload import Reloader, SourceFiles
from yolanda.http import HttpServer
from yolanda.http.request import HttpRequest
from yolanda.http.response import HttpResponse


def main() -> int:
    folder, how = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True
    listener = bind_socket(Address("127.0.0.1", 0))
    listener.socket.listen(100)

    def run_worker(handle: WorkerHandle) -> int:
        module = importlib.import_module("answer")

        def on_request(request: HttpRequest, response: HttpResponse) -> None:
            if request.path == "/never":
                response.defer()
                return
            if request.path == "/block":
                while True:
                    time.sleep(1000)
            if request.path == "/exit":
                os._exit(7)
            response.text(module.ANSWER)

        def tell() -> None:
            sys.stderr.write(f"listening on {listener.address}\n")  # in one piece

        server = HttpServer(Address(fd=os.dup(listener.socket.fileno())), on_request)
        return run_servers(handle, [server], on_ready=tell)

    return Reloader(run_worker, SourceFiles([folder]), poll=how == "poll").run()


if __name__ == "__main__":
    sys.exit(main())

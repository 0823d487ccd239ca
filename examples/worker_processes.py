"""Four processes behind one port: with the GIL, the way to more than one processor.

$ python examples/worker_processes.py [ADDRESS]
$ curl http://127.0.0.1:43211/

kill -HUP the first process to replace the others one by one, and see docs/workers.md for the rest.
"""

import os
import sys

from yolanda import Address, bind_socket
from yolanda.apps import Master, WorkerHandle, run_servers
from yolanda.http import HttpRequest, HttpResponse, HttpServer


def on_request(request: HttpRequest, response: HttpResponse) -> None:
    response.text(f"process {os.getpid()}\n")


def main(address: str = "127.0.0.1:43211") -> int:
    listener = bind_socket(Address.parse(address))
    listener.socket.listen()

    def run_worker(handle: WorkerHandle) -> int:
        inherited = Address(fd=os.dup(listener.socket.fileno()))
        server = HttpServer(inherited, on_request, shared=handle.load)
        return run_servers(handle, [server])

    def tell() -> None:
        print(f"serving {listener.address}", flush=True)

    return Master(run_worker, workers=4, listeners=[listener], on_ready=tell).run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

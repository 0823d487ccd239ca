"""Where a request spends its time inside the HTTP server: ``python benchmarks/profile_http.py``.

The server runs in this process under cProfile, with wrk as its client.  The profiler makes every
call of Python more expensive than it is, and C's not, so the shares are hints and not figures.
"""

import argparse
import cProfile
import os
import pstats
import subprocess
import sys

from contenders import find_program
from load import BROWSER, SMALL
from yolanda import EventLoop
from yolanda.http import HttpServer
from yolanda.programs.chapter34.http_server01 import on_request


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--browser", action="store_true", help="the browser's request")
    parser.add_argument("--sort", choices=["tottime", "cumtime", "ncalls"], default="tottime")
    parser.add_argument("--lines", type=int, default=25)
    options = parser.parse_args()
    wrk = find_program("wrk")
    if wrk is None:
        print("there is no wrk to make the requests")
        return 2

    cores = sorted(os.sched_getaffinity(0))
    requests = 0
    with EventLoop() as loop:

        def count(request, response):  # type: ignore[no-untyped-def]
            nonlocal requests
            requests += 1
            on_request(request, response)

        server = HttpServer("127.0.0.1:0", count, loop=loop)
        server.start()
        command = [wrk, "-t1", f"-c{options.connections}", f"-d{options.seconds}s"]
        command += BROWSER if options.browser else SMALL
        os.sched_setaffinity(0, {cores[-1]})  # wrk inherits it
        client = subprocess.Popen([*command, f"http://{server.address}/"])
        os.sched_setaffinity(0, {cores[0]})

        def stop_after_client() -> None:
            if client.poll() is not None:
                loop.stop()

        loop.call_every(0.1, stop_after_client)
        profile = cProfile.Profile()
        profile.enable()
        loop.run()
        profile.disable()
        server.close()

    if not requests:
        print("wrk made no request")
        return 1
    statistics = pstats.Stats(profile, stream=sys.stdout).strip_dirs()
    total = statistics.total_tt  # type: ignore[attr-defined]
    print(f"{requests} requests, {total / requests * 1e6:.1f} us each under the profiler")
    statistics.sort_stats(options.sort).print_stats(options.lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What many idle connections cost: memory each, and CPU while nothing happens.

    .venv-bench/bin/python benchmarks/idle_connections.py [CONNECTIONS]

Needs as many descriptors in this process and in the server's (``ulimit -n``).  The kernel's own
memory for the sockets is not in the figure.
"""

import os
import resource
import socket
import subprocess
import sys
import time

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
SECONDS = 3.0
PORTS_OF_AN_ADDRESS = 20000


def resident_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(count: int = 10000) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 100:
        if hard < count + 100:
            sys.exit(f"{count} connections need more descriptors than the limit of {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, hard))
    server = subprocess.Popen(
        [sys.executable, "-m", "yolanda", "http", "127.0.0.1:0", "--threads", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    clients: list[socket.socket] = []
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline().rpartition(":")[2].split("/")[0])
        before = resident_kib(server.pid)
        started = time.perf_counter()
        for number in range(count):
            source = f"127.0.0.{2 + number // PORTS_OF_AN_ADDRESS}"
            clients.append(socket.create_connection(("127.0.0.1", port), 10, (source, 0)))
        taken = time.perf_counter() - started
        for client in clients:
            client.sendall(REQUEST)
        for client in clients:
            assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
        each = (resident_kib(server.pid) - before) / count
        used = cpu_seconds(server.pid)
        time.sleep(SECONDS)
        used = cpu_seconds(server.pid) - used
        print(f"{count} connections in {taken:.2f} s; after a request on each:")
        print(f"  {each:.2f} KiB of the server's memory each (target of the design: 4)")
        print(f"  {used / SECONDS:.1%} of a core while all are idle")
    finally:
        for client in clients:
            client.close()
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

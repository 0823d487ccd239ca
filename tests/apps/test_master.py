import signal
from collections.abc import Callable

from .conftest import Served, get

Start = Callable[..., Served]


def test_workers_serve_and_end(start: Start) -> None:
    master = start(workers=2)
    port = master.port()
    workers = master.workers()
    assert len(workers) == 2
    assert int(get(port).split()[0]) in workers
    assert master.stop() == 0
    assert master.workers() == set()


def test_a_rolling_restart_brings_new_workers(start: Start) -> None:
    master = start(workers=2)
    port = master.port()
    old = master.workers()
    master.send(signal.SIGHUP)
    master.expect("all workers are new")
    master.expect(r"ended \(exit status 0\)", times=2)
    assert not master.workers() & old
    assert int(get(port).split()[0]) in master.workers()
    assert master.stop() == 0

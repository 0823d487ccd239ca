"""What the kernel says of a server: its processes, their time and memory, the cores they run on."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from yolanda.bench import cores, machine, memory, processes, processor_time

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

PARENT = """
import os, sys, time

def work(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

def step(action):
    sys.stdin.readline()
    action()
    print("done", flush=True)

def by_thread():
    thread = __import__("threading").Thread(target=work, args=(0.2,))
    thread.start()
    thread.join()

def by_child():
    child = os.fork()
    if not child:
        work(0.2)
        os._exit(0)
    os.waitpid(child, 0)

kept = bytearray()
def grow():
    kept.extend(b"x" * 20_000_000)

print("ready", flush=True)
step(lambda: work(0.2))
step(by_thread)
step(by_child)
step(grow)
sys.stdin.readline()
"""


class Program:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PARENT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.session = self.process.pid
        self.read()

    def read(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline()

    def step(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.read()


@pytest.fixture
def program() -> Iterator[Program]:
    running = Program()
    yield running
    running.process.kill()
    running.process.communicate()


def test_time_is_that_of_threads_and_children_too_when_they_have_ended(program: Program) -> None:
    for _ in ("by itself", "in a thread", "in a child"):
        before = processor_time.snapshot(program.session)
        program.step()
        times = processor_time.elapsed(before, processor_time.snapshot(program.session))
        assert 0.18 < times.running < 2
        assert times.waiting >= 0


def test_memory_grows_with_what_is_kept(program: Program) -> None:
    for _ in range(3):
        program.step()
    before = memory.of_session(program.session)
    assert before > 1_000_000
    program.step()
    assert memory.of_session(program.session) - before > 15_000_000


def test_a_session_is_its_leader_and_its_children(program: Program) -> None:
    assert processes.of_session(program.session) == [program.session]
    assert processes.of_session(os.getsid(0)) != [program.session]


def test_a_process_that_has_ended_has_no_time_and_no_memory(program: Program) -> None:
    program.process.kill()
    program.process.wait()
    assert processes.of_session(program.session) == []
    assert memory.of_process(program.session) == 0
    with pytest.raises(ProcessLookupError, match=f"no process {program.session}"):
        processor_time.of_process(program.session)


def test_whoever_is_pinned_gets_its_cores_back() -> None:
    before = os.sched_getaffinity(0)
    server, client = cores.choose()
    with cores.pinned(client):
        assert os.sched_getaffinity(0) == {client}
        child = subprocess.run(
            [sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert child.stdout.strip() == f"{{{client}}}"
    assert os.sched_getaffinity(0) == before
    assert {server, client} <= before


def test_the_machine_is_described_in_words() -> None:
    described = machine.describe()
    assert described["kernel"].startswith("Linux ")
    assert all(described.values())

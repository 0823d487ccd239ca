"""A process of its own in which something is measured, and that is asked in lines of JSON.

A measuring process must have nothing beside what it measures: no thread that draws a progress bar,
no descriptors of others, no garbage collection.  So a part starts a module as a program, pinned to
a core, and asks it for one measurement after the other:

    with pinned(core), Probe("yolanda.bench.watching") as probe:
        sample = probe.ask("turns", interface="epoll", watched=1000, active=1, seconds=0.1)

and the module ends with ``if __name__ == "__main__": serve({"turns": turns, ...})``.
"""

import contextlib
import errno
import gc
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

PATIENCE = 60.0
"""Seconds without an answer after which a probe is given up, beside those that it measures for."""

Answer = dict[str, Any]


class ProbeError(Exception):
    """There is no figure, for the reason that the text gives: a contender gave up."""


class Probe:
    """The asking side.  `module` is run by this Python, on the cores that this thread may use.

    An answer that does not come within `PATIENCE` is a `ProbeError`, and so is what the other side
    could not do; after the former the process is started anew when it is next asked.
    """

    def __init__(self, module: str, patience: float = PATIENCE) -> None:
        self.module = module
        self.patience = patience
        self._cores = os.sched_getaffinity(0)
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""

    def __enter__(self) -> "Probe":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The process's number, while there is one."""
        return None if self._process is None else self._process.pid

    def ask(self, job: str, **arguments: object) -> Answer:
        """Have ``job`` done with these arguments and return its answer."""
        self.tell(job, **arguments)
        return self.hear()

    def tell(self, job: str, **arguments: object) -> None:
        """Have ``job`` begun; `hear` returns its answer."""
        process = self._process or self._start()
        assert process.stdin is not None
        line = json.dumps({"job": job, "arguments": arguments}) + "\n"
        try:
            process.stdin.write(line.encode())
        except BrokenPipeError:
            raise self._ended() from None

    def hear(self) -> Answer:
        """Wait for the answer to what was told."""
        end = time.monotonic() + self.patience
        process = self._process
        if process is None:
            raise ProbeError(f"{self.module} was not asked for anything")
        assert process.stdout is not None
        readable = select.poll()
        readable.register(process.stdout, select.POLLIN)
        while b"\n" not in self._unread:
            if not readable.poll(max(0.0, end - time.monotonic()) * 1000):
                self.close()
                raise ProbeError(f"no answer within {self.patience:g} seconds")
            piece = os.read(process.stdout.fileno(), 65536)
            if not piece:
                raise self._ended()
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        answer: Answer = json.loads(line)
        if "failure" in answer:
            raise ProbeError(answer["failure"])
        return answer

    def close(self) -> None:
        """End the process, also in the middle of a job."""
        process, self._process = self._process, None
        self._unread = b""
        if process is not None:
            process.kill()  # it has nothing to tidy up that the kernel would not
            with process:
                process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            [sys.executable, "-m", self.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # Ctrl+C is for the part, which then ends its processes
        )
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(self._process.pid, self._cores)
        return self._process

    def _ended(self) -> ProbeError:
        process = self._process
        status = process.wait() if process is not None else None
        self.close()
        how = f"exit status {status}"
        if status is not None and status < 0:
            how = signal.Signals(-status).name
        return ProbeError(f"the measuring process ended: {how}")


def serve(jobs: Mapping[str, Callable[..., Mapping[str, object]]]) -> None:
    """Do what the lines on the standard input ask for, and answer each with one, until they end.

    What a job raises as `OSError`, `ValueError` or `RuntimeError` is its answer: it gives up.
    """
    gc.disable()
    for line in sys.stdin:
        wanted = json.loads(line)
        answer: Mapping[str, object]
        try:
            answer = jobs[wanted["job"]](**wanted["arguments"])
        except (OSError, ValueError, RuntimeError) as error:
            answer = {"failure": _explain(error)}
        gc.collect()
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _explain(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"{errno.errorcode.get(error.errno, error.errno)}: {error.strerror}"
    return f"{type(error).__name__}: {error}"

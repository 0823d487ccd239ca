"""``--reload``: a serving process that is started anew when its source has changed."""

import contextlib
import fnmatch
import importlib
import importlib.util
import logging
import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from yolanda.apps.processes.child import Child, describe_status
from yolanda.apps.processes.handle import START_FAILED, WorkerHandle
from yolanda.apps.processes.supervisor import Supervisor

log = logging.getLogger("yolanda.apps")

INCLUDED = ("*.py",)
"""What is watched in any case."""

EXCLUDED = (".*", "__pycache__", "node_modules", "site-packages")
"""What is not watched unless a pattern includes it: files, or folders with all that is in them."""

_SCAN_INTERVAL = 0.4  # seconds between two looks at the files
_SETTLE = 0.05  # seconds without a further change: an editor, or git, writes more than one file
_LISTED = 3  # files that are named in the log
_END_TIMEOUT = 2.0  # seconds for each way to end a process, from the friendliest on

_Stamp = tuple[int, int, int]  # of a file: time of its last change, size, inode


@dataclass(frozen=True)
class SourceFiles:
    """Which files are watched.

    - ``folders``: with all that is in them; links to other folders are not followed;
    - ``include``: patterns as of a shell, beside `INCLUDED`;
    - ``exclude``: patterns, beside `EXCLUDED`, which no other pattern overrules; a folder is
      excluded with all that is in it.

    A pattern is compared with the name of a file or folder, and with its path from the folder that
    is watched.
    """

    folders: Sequence[str] = (".",)
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def __post_init__(self) -> None:
        for folder in self.folders:
            if not os.path.isdir(folder):
                raise ValueError(f"{folder!r} is no folder that could be watched")

    def accepts(self, path: str) -> bool:
        """Whether the file ``path``, which lies in one of the folders, is watched."""
        path = os.path.realpath(path)
        for folder in map(os.path.realpath, self.folders):
            if os.path.commonpath([folder, path]) == folder:
                parts = os.path.relpath(path, folder).split(os.sep)
                if self._accepts_parts(parts):
                    return True
        return False

    def files(self) -> Iterator[str]:
        """Every file that is there and watched."""
        for folder in self.folders:
            for where, folders, names in os.walk(folder):
                inside = os.path.relpath(where, folder).split(os.sep)
                parts = [] if inside == ["."] else inside
                folders[:] = [name for name in folders if not self._prunes([*parts, name])]
                for name in names:
                    if self._accepts_parts([*parts, name]):
                        yield os.path.join(where, name)

    def _accepts_parts(self, parts: list[str]) -> bool:
        if _matches_any_level(parts, self.exclude):
            return False
        if _matches(parts, self.include):
            return True
        return not _matches_any_level(parts, EXCLUDED) and _matches(parts, INCLUDED)

    def _prunes(self, parts: list[str]) -> bool:
        return _matches(parts, self.exclude) or _matches(parts, EXCLUDED)


def _matches(parts: list[str], patterns: Sequence[str]) -> bool:
    names = (parts[-1], os.sep.join(parts))
    return any(
        fnmatch.fnmatch(name, os.path.normpath(pattern)) for pattern in patterns for name in names
    )


def _matches_any_level(parts: list[str], patterns: Sequence[str]) -> bool:
    return any(_matches(parts[:depth], patterns) for depth in range(1, len(parts) + 1))


class Reloader(Supervisor):
    """Runs a process that serves, and one that watches the files: a change restarts the former.

    - ``run_worker(handle)``: as for a `Master`;
    - ``source``: which files are watched;
    - ``poll``: look at the files again and again, even where ``watchfiles`` is installed;
    - ``graceful_timeout``: seconds that the process has for ending after SIGTERM.  For a restart it
      has two: whoever changes a program does not wait for a browser.

    A process that cannot start its application, because of an error in it, or that ends by itself,
    is started again after the next change, and so is one that gets SIGHUP.  SIGTERM, SIGINT and
    SIGQUIT end it as they do a master; a second SIGINT kills.  SIGUSR1 and SIGUSR2 are passed on.
    """

    SIGNALS = (
        signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM,
        signal.SIGUSR1, signal.SIGUSR2,
    )  # fmt: skip

    def __init__(
        self,
        run_worker: Callable[[WorkerHandle], int],
        source: SourceFiles,
        *,
        poll: bool = False,
        graceful_timeout: float = 30.0,
    ) -> None:
        super().__init__()
        self._run_worker = run_worker
        self._source = source
        self._poll = poll
        self._graceful_timeout = graceful_timeout
        self._watcher: Child | None = None
        self._worker: Child | None = None
        self._wanted = False  # a worker is to be started; not before somebody watches
        self._watching = False
        self._stopping = False
        self._interrupted = False
        self._deadline = math.inf  # when the worker is asked to end in a less friendly way
        self._next_signal = signal.SIGKILL

    # ---- what a supervisor asks ----------------------------------------------------------

    @property
    def going_on(self) -> bool:
        """Whether it was not told to stop, or a process is left."""
        return not self._stopping or self._worker is not None

    @property
    def status(self) -> int:
        """The exit status: it ends only when it is told to."""
        return 0

    def adjust(self, now: float) -> None:
        """Start the watcher, and the worker when it is wanted and the one before has ended."""
        if self._deadline <= now and self._worker is not None:
            self._ask_to_end(self._worker, self._next_signal)
        if self._stopping:
            return
        if self._watcher is None and not self._watching:
            self._watcher = self.fork(self._watch, title="yolanda: watching the source")
        if self._wanted and self._worker is None:
            self._wanted = False
            self._worker = self.fork(self._run_worker, title="yolanda: worker")

    def times(self) -> Iterator[float]:
        """When the worker is asked again to end."""
        yield self._deadline

    def on_suspended(self, seconds: float) -> None:
        """Give the worker its time."""
        self._deadline += seconds

    def on_word(self, child: Child, word: str, text: str) -> None:
        """The watcher has begun, or seen a change; the worker says how it goes."""
        if word == "watching":
            self._watching = self._wanted = True
            log.info("watching %s for changes, %s", ", ".join(self._source.folders), text)
        elif word == "changed":
            log.info("changed: %s; starting anew", text)
            self._restart()
        elif word == "fail":
            log.error("the application could not be started: %s", text)
        elif word == "retire":
            log.info("starting anew: %s", text)
            self._restart()

    def on_end(self, child: Child, status: int) -> None:
        """A process has ended: as it should, or by itself."""
        if child is self._watcher:
            self._watcher = None
            if not self._stopping:
                log.error(
                    "the process that watched the source ended (%s); changes are not noticed any "
                    "more, SIGHUP starts anew",
                    describe_status(status),
                )
                self._wanted = self._wanted or not self._watching
                self._watching = True
            return
        self._worker = None
        self._deadline = math.inf
        if not (self._stopping or self._wanted):
            how = (
                "the application could not be started"
                if os.waitstatus_to_exitcode(status) == START_FAILED
                else f"the worker ended ({describe_status(status)})"
            )
            log.error("%s; waiting for a change", how)

    def on_signal(self, number: int) -> None:
        """End, or start anew."""
        if number == signal.SIGHUP:
            if not self._stopping:
                self._restart()
            return
        if number in (signal.SIGUSR1, signal.SIGUSR2):
            if self._worker is not None:
                self._worker.send_signal(number)
            return
        again = self._stopping and number == signal.SIGINT and self._interrupted
        self._interrupted = self._interrupted or number == signal.SIGINT
        if again:
            number = signal.SIGKILL
        elif self._stopping and number != signal.SIGQUIT:
            return
        elif number == signal.SIGINT:  # which means nothing to a worker: it comes to it as well
            number = signal.SIGTERM
        self._stopping = True
        if self._watcher is not None:
            self._watcher.send_signal(signal.SIGKILL)
        if self._worker is not None:
            self._ask_to_end(self._worker, signal.Signals(number), self._graceful_timeout)

    # ---- the worker ----------------------------------------------------------------------

    def _restart(self) -> None:
        if self._worker is not None and not self._wanted:
            self._ask_to_end(self._worker, signal.SIGTERM)
        self._wanted = True

    def _ask_to_end(
        self, worker: Child, number: signal.Signals, patience: float = _END_TIMEOUT
    ) -> None:
        worker.send_signal(number)
        self._deadline = time.monotonic() + (_END_TIMEOUT if number != signal.SIGTERM else patience)
        if number == signal.SIGTERM:
            self._next_signal = signal.SIGQUIT
        elif number == signal.SIGQUIT:
            self._next_signal = signal.SIGKILL
        else:
            self._deadline = math.inf

    # ---- the watcher ---------------------------------------------------------------------

    def _watch(self, handle: WorkerHandle) -> int:
        """In a process of its own, since what watches has threads, and who forks must have none."""
        parent = os.getppid()
        how = watch_by_events if has_watchfiles() and not self._poll else watch_by_looking
        try:
            _report(how, self._source, handle, parent)
        except (OSError, RuntimeError) as error:  # there are no more watches, for instance
            if how is watch_by_looking:
                raise
            log.warning("watchfiles cannot watch (%s); looking at the files instead", error)
            _report(watch_by_looking, self._source, handle, parent)
        return 0


Watch = Callable[[SourceFiles], Iterator[set[str]]]
"""Yields the files that have changed, soon after they have; first none, when it has begun, and none
now and then."""


def has_watchfiles() -> bool:
    """Whether files can be watched without looking at them again and again."""
    return importlib.util.find_spec("watchfiles") is not None


def watch_by_looking(source: SourceFiles) -> Iterator[set[str]]:
    """Look at all files again and again."""
    before = _stamps(source)
    yield set()
    while True:
        time.sleep(_SCAN_INTERVAL)
        now = _stamps(source)
        changed = _differences(before, now)
        while changed:
            time.sleep(_SETTLE)
            later = _stamps(source)
            if later == now:
                break
            changed |= _differences(now, later)
            now = later
        before = now
        yield changed


def watch_by_events(source: SourceFiles) -> Iterator[set[str]]:
    """Have the kernel tell, through ``watchfiles``.

    Of a new folder only the folder itself is told for certain: what was written into it before it
    was watched is looked for.
    """
    watchfiles = importlib.import_module("watchfiles")
    for changes in watchfiles.watch(
        *source.folders,
        watch_filter=lambda change, path: (
            source.accepts(path) or (change == watchfiles.Change.added and os.path.isdir(path))
        ),
        step=int(_SETTLE * 1000),
        rust_timeout=int(_SCAN_INTERVAL * 1000),
        yield_on_timeout=True,
    ):
        paths = {path for _, path in changes}
        folders = {path for path in paths if os.path.isdir(path)}
        paths -= folders
        if folders:
            inside = tuple(os.path.realpath(folder) + os.sep for folder in folders)
            paths |= {
                path for path in map(os.path.realpath, source.files()) if path.startswith(inside)
            }
        yield paths


def _report(watch: Watch, source: SourceFiles, handle: WorkerHandle, parent: int) -> None:
    begun = False
    for changed in watch(source):
        if os.getppid() != parent:
            return
        if not begun:
            begun = True
            handle.say("watching", "by events" if watch is watch_by_events else "by looking")
        if changed:
            names = [os.path.relpath(path) for path in sorted(changed)]
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            handle.say("changed", ", ".join(names[:_LISTED]) + more)


def _stamps(source: SourceFiles) -> dict[str, _Stamp]:
    found = {}
    for path in source.files():
        with contextlib.suppress(OSError):  # it has just gone
            status = os.stat(path)
            found[path] = (status.st_mtime_ns, status.st_size, status.st_ino)
    return found


def _differences(before: dict[str, _Stamp], now: dict[str, _Stamp]) -> set[str]:
    return {path for path in before.keys() | now.keys() if before.get(path) != now.get(path)}

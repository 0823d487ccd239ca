"""What systemd is told, and what it hands over, without libsystemd.

sd_notify(3), sd_watchdog_enabled(3) and sd_listen_fds(3) are a few environment variables.  They are
taken out of the environment when they have been read, so that no process started later takes them
for its own.
"""

import logging
import os
import socket
import time
from collections.abc import MutableMapping
from dataclasses import dataclass

log = logging.getLogger("yolanda.apps")

_FIRST_FD = 3  # SD_LISTEN_FDS_START


class Notifier:
    """Tells the supervisor how it goes, in one datagram each.  Without a supervisor it is silent.

    - ``path``: the supervisor's socket, an abstract one with ``@``; `None` for none;
    - ``watchdog_interval``: seconds between two calls of `watchdog`; `None` where nobody waits.

    Any thread.
    """

    def __init__(self, path: str | None, watchdog_interval: float | None = None) -> None:
        self.watchdog_interval = watchdog_interval if path else None
        """Seconds between two calls of `watchdog`, or `None`."""
        self._socket: socket.socket | None = None
        self._target = ""
        if path:
            self._target = "\0" + path[1:] if path.startswith("@") else path
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] | None = None) -> "Notifier":
        """Make one from NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and remove these.

        A ping is due at half of WATCHDOG_USEC, as systemd recommends.
        """
        environment = os.environ if environment is None else environment
        path = environment.pop("NOTIFY_SOCKET", None)
        usec = environment.pop("WATCHDOG_USEC", "")
        pid = environment.pop("WATCHDOG_PID", str(os.getpid()))
        interval = None
        if usec.isdecimal() and int(usec) and pid == str(os.getpid()):
            interval = int(usec) / 2e6
        if path and path[0] not in "/@":  # vsock: and what else may come
            log.warning("NOTIFY_SOCKET=%s: only local sockets are known; systemd is not told", path)
            path = None
        return cls(path, interval)

    def ready(self, status: str | None = None) -> None:
        """The start, or a reload, is complete.  The sender is the main process from now on."""
        self._send(f"READY=1\nMAINPID={os.getpid()}", status)

    def reloading(self, status: str | None = None) -> None:
        """A reload begins; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}", status)

    def stopping(self, status: str | None = None) -> None:
        """The end begins."""
        self._send("STOPPING=1", status)

    def status(self, text: str) -> None:
        """Say in a line how it goes; ``systemctl status`` shows it."""
        self._send("", text)

    def watchdog(self) -> None:
        """Say that the process is alive; see `watchdog_interval`."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Tell nothing more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, state: str, status: str | None = None) -> None:
        if self._socket is None:
            return
        if status is not None:
            state = f"{state}\nSTATUS={' '.join(status.split())}".lstrip("\n")
        try:
            self._socket.sendto(state.encode(errors="replace"), self._target)
        except OSError as error:
            log.warning("systemd cannot be told %r: %s", state, error.strerror)


@dataclass(frozen=True, slots=True)
class ActivatedSocket:
    """A listening socket that systemd has opened: its descriptor, and FileDescriptorName=."""

    fd: int
    name: str


def activated_sockets(environment: MutableMapping[str, str] | None = None) -> list[ActivatedSocket]:
    """Return the sockets that this process was started with.

    Takes LISTEN_* out of ``environment``; there are none if these are missing, or meant for another
    process.  The descriptors are made not inheritable.  Raises `ValueError` for one that is no
    listening stream socket.
    """
    environment = os.environ if environment is None else environment
    pid = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    found = []
    for number in range(int(count)):
        fd = _FIRST_FD + number
        name = names[number] if number < len(names) and names[number] else "unknown"
        try:
            os.set_inheritable(fd, False)
            probe = socket.socket(fileno=fd)
        except OSError as error:
            raise ValueError(f"LISTEN_FDS: descriptor {fd} ({name}): {error.strerror}") from error
        try:
            listens = probe.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        finally:
            probe.detach()
        if not listens:
            raise ValueError(f"LISTEN_FDS: descriptor {fd} ({name}) is no listening stream socket")
        found.append(ActivatedSocket(fd, name))
    return found

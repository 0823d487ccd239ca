"""A descriptor that becomes readable at a given time, for loops that live inside another loop.

A loop that waits by itself gives the time of its next timer to ``epoll_wait``.  One that is
embedded is woken by its descriptor alone, so the time must become an event on a descriptor:
``timerfd`` on Linux, a kqueue with a timer filter elsewhere.
"""

import ctypes
import os
import select
import sys
import time
from typing import Protocol


class TimerDescriptor(Protocol):
    """What both kinds can do."""

    def fileno(self) -> int:
        """The descriptor to be watched for reading."""

    def arm(self, seconds: float) -> None:
        """Become readable in ``seconds`` (more than 0), and not before; the last call counts."""

    def close(self) -> None:
        """Close the descriptor."""


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class _Timerfd:
    """``timerfd_create(2)``, from the C library: the os module has it only since Python 3.13."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        flags = os.O_CLOEXEC | os.O_NONBLOCK
        self._fd = _checked(self._libc.timerfd_create(time.CLOCK_MONOTONIC, flags))

    def fileno(self) -> int:
        return self._fd

    def arm(self, seconds: float) -> None:
        whole = int(seconds)
        due = _Timespec(whole, max(1, int((seconds - whole) * 1e9)))
        setting = _Itimerspec(_Timespec(0, 0), due)
        _checked(self._libc.timerfd_settime(self._fd, 0, ctypes.byref(setting), None))

    def close(self) -> None:
        os.close(self._fd)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


if sys.platform == "linux":

    def make_timer_descriptor() -> TimerDescriptor:
        """Make one of this platform's kind."""
        return _Timerfd()

else:

    class _KqueueTimer:
        """A kqueue of one EVFILT_TIMER: its own descriptor is readable when the timer is due."""

        def __init__(self) -> None:
            self._kqueue = select.kqueue()

        def fileno(self) -> int:
            return self._kqueue.fileno()

        def arm(self, seconds: float) -> None:
            self._kqueue.control(None, 1, 0)  # takes a former due time out
            flags = select.KQ_EV_ADD | select.KQ_EV_ONESHOT
            timer = select.kevent(1, select.KQ_FILTER_TIMER, flags, data=int(seconds * 1000) + 1)
            self._kqueue.control([timer], 0, 0)

        def close(self) -> None:
            self._kqueue.close()

    def make_timer_descriptor() -> TimerDescriptor:
        """Make one of this platform's kind."""
        return _KqueueTimer()

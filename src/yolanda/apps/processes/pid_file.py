"""The file that says which process is the service."""

import contextlib
import errno
import fcntl
import os
import tempfile
from types import TracebackType
from typing import Self


class PidFile:
    """Holds this process's number, for as long as the ``with`` block lasts.

    - ``path``: of the file; its folder must be there.

    A file that names another process that lives is left as it is, and entering raises `OSError`,
    which names both.  A stale one is replaced, and so is one of which nothing can be made.  The
    file is there whole or not at all.  A forked child must not leave the block.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)

    def __enter__(self) -> Self:
        try:
            while not self._write():
                continue  # the file changed under our hands
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror} (pid file {self.path})") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(FileNotFoundError):
            with open(self.path, "rb") as file:
                own = _pid_in(file.read(64)) == os.getpid()
            if own:
                os.unlink(self.path)

    def _write(self) -> bool:
        folder = os.path.dirname(self.path) or "."
        fd, new = tempfile.mkstemp(prefix=os.path.basename(self.path) + ".", dir=folder)
        try:
            with open(fd, "w") as file:
                os.fchmod(fd, 0o644)
                file.write(f"{os.getpid()}\n")
            try:
                os.link(new, self.path)  # fails where there is one
            except FileExistsError:
                return self._replace(new)
            return True
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new)

    def _replace(self, new: str) -> bool:
        """Put ``new`` in the place of a stale file; `False` if that is another one meanwhile."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        with open(fd, "rb") as old:
            # Of two that find the same stale file, the second waits here and sees that it is gone.
            fcntl.flock(old, fcntl.LOCK_EX)
            try:
                if not os.path.samestat(os.fstat(old.fileno()), os.stat(self.path)):
                    return False
            except FileNotFoundError:
                return False
            pid = _pid_in(old.read(64))
            if pid is not None and pid != os.getpid() and _lives(pid):
                raise OSError(errno.EEXIST, f"process {pid} is running already")
            os.replace(new, self.path)
            return True


def _pid_in(content: bytes) -> int | None:
    text = content.strip()
    return int(text) if text.isdigit() and 0 < int(text) < 1 << 31 else None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

"""What the servers of the mid-term answer: `pwd`, `cd` and `ls`, for one client.

Nothing here knows of sockets or threads: a line goes in, an answer comes out.  That is why the
blocking server of chapter 19 and the one on the framework of chapter 27 can share it.
"""

import errno
import os

from yolanda.programs.blocking import explain

UNKNOWN = "error: unknown input type\n"


class DirectorySession:
    """The current directory of one client, and the commands that use and change it.

    The process's own is the same for all its clients and threads, so it is not used, and never
    changed; and no shell is run, so nothing that a client sends is taken for a command of one.

    - ``start``: the directory to begin in; the process's own if None.

    Any thread may call it, one at a time.  (chapter 19)
    """

    def __init__(self, start: str | None = None) -> None:
        self.current = os.path.realpath(start or os.getcwd())
        self.previous: str | None = None

    def answer(self, line: bytes) -> bytes:
        """Do what ``line`` asks for, and return what there is to say: lines, or nothing."""
        # A path is whatever bytes the file system has: fsdecode gives them all a place in a str.
        command, _, argument = os.fsdecode(line).strip(" \t\0").partition(" ")
        argument = argument.strip(" \t")
        match command, argument:
            case "pwd", "":
                text = f"{shown(self.current)}\n"
            case "ls", "":
                text = self.ls()
            case "cd", target:
                text = self.cd(target)
            case _:
                text = UNKNOWN
        return text.encode()

    def ls(self) -> str:
        """List the current directory, as the command does: in order, hidden files left out."""
        try:
            names = sorted(os.listdir(self.current))
        except OSError as error:
            return f"ls: {reason(error)}\n"
        return "".join(f"{shown(name)}\n" for name in names if not name.startswith("."))

    def cd(self, target: str) -> str:
        """Go to ``target``: a path, - for where one was before, ~ or nothing for the home."""
        if target == "-":
            if self.previous is None:
                return "change dir failed, -: there is no directory before this one\n"
            wanted = self.previous
        else:
            wanted = os.path.join(self.current, os.path.expanduser(target or "~"))
        try:
            os.stat(os.path.join(wanted, "."))  # fails where chdir would: no directory, no right
            directory = os.path.realpath(wanted, strict=True)
        except ValueError:  # a NUL within
            return f"change dir failed, {shown(target)}: {reason(OSError(errno.EINVAL, ''))}\n"
        except OSError as error:
            return f"change dir failed, {shown(target)}: {reason(error)}\n"
        self.previous, self.current = self.current, directory
        return ""


def shown(name: str) -> str:
    r"""Write a path so that a terminal shows it and nothing else: a control character as \x1b."""
    text = os.fsencode(name).decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def reason(error: OSError) -> str:
    """Say why, without the path: the client knows the one it sent."""
    number = error.errno or 0
    return explain(OSError(number, os.strerror(number)))

"""A client of the director's own, for labs that need many of them: a line out, a line back."""

import socket
import struct

from yolanda.labs.stage import LabFailed, Stage
from yolanda.programs.blocking import LineReader

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 seconds: close sends a RST


class LineClient:
    """Connects, and writes what it sends and receives into the transcript.

    - ``name``: what the transcript calls it;
    - ``port``: of a server on this machine.
    """

    def __init__(self, stage: Stage, name: str, port: int | str) -> None:
        self._stage = stage
        self._name = name
        stage.note(f"{name} connects")
        self._socket = stage.connect(port)
        self._reader = LineReader(self._socket.recv)

    def send(self, line: str) -> None:
        """Send a line, and do not wait."""
        self._stage.note(f"{self._name} > {line}")
        self._socket.sendall(line.encode() + b"\r\n")

    def answer(self) -> str:
        """Wait for a line.  Raises `LabFailed` if none comes."""
        try:
            line = self._reader.read_line()
        except OSError as error:
            raise LabFailed(f"{self._name} got no answer: {error}") from error
        if line is None:
            raise LabFailed(f"{self._name} got the end of the stream and no answer")
        answer = line.decode(errors="replace")
        self._stage.note(f"{self._name} < {answer}")
        return answer

    def ask(self, line: str) -> str:
        """Send a line and wait for the answer."""
        self.send(line)
        return self.answer()

    def has_answer(self) -> bool:
        """Whether something has arrived that was not read."""
        if self._reader.pending:
            return True
        self._socket.settimeout(0)
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False
        finally:
            self._socket.settimeout(self._stage.patience)

    def leave(self) -> None:
        """Close the connection."""
        self._stage.note(f"{self._name} leaves")
        self._socket.close()

    def reset(self) -> None:
        """Leave as a process does that crashes with unread input: with a RST."""
        self._stage.note(f"{self._name} resets its connection")
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._socket.close()

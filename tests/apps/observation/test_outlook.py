"""How a process is seen, without the process."""

import socket

from yolanda.apps.config import Config
from yolanda.apps.observation.outlook import Observation, Outlook
from yolanda.reactor.event_loop import EventLoop

from ..conftest import PATIENCE


def test_who_asks_while_the_process_ends_is_told() -> None:
    """One has asked, and one is about to; both were accepted."""
    config = Config(metrics="127.0.0.1:0")
    outlook = Outlook.open(config)
    assert outlook.listener is not None
    with EventLoop() as loop:
        observation = Observation(config, loop, None, outlook)
        address = outlook.listener.socket.getsockname()
        clients = [socket.create_connection(address, PATIENCE) for _ in range(2)]
        while len(loop._channels) < 4:  # that of the wake-up, the listener's, and theirs
            loop.run_once(PATIENCE)
        clients[0].sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        observation.ending(for_good=True)
        observation.close()
        assert clients[0].recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
        assert clients[1].recv(65536) == b""
        for client in clients:
            client.close()
    outlook.close()

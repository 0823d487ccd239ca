"""An echo as a Twisted protocol: ``echo_twisted.py PORT``."""

import sys

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol


class Echo(Protocol):
    """Sends back what comes."""

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Send without delay, as the others do."""
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Send it back."""
        self.transport.write(data)


reactor.listenTCP(int(sys.argv[1]), Factory.forProtocol(Echo), backlog=4096, interface="127.0.0.1")
reactor.run()

"""Chapter 4: making a socket, and the handshake that connects two."""

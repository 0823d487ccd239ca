"""Chapter 22: non-blocking sockets."""

"""Chapter 7: local sockets."""

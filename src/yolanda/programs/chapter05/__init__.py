"""Chapter 5: reading and writing through the socket's buffers."""

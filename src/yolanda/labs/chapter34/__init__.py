"""Chapter 34: the buffer, and an HTTP server on top."""

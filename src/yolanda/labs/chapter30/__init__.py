"""Chapter 30: asynchronous I/O, and reactor against proactor."""

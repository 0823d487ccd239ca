"""Chapter 3: socket addresses and their ports."""

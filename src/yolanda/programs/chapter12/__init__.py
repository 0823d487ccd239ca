"""Chapter 12: finding out that a connection is dead."""

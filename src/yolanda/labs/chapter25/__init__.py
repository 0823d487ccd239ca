"""Chapter 25: a process for each connection."""

"""Chapter 28: a main reactor, sub-reactors, and worker threads."""

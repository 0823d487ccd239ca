"""Chapter 10: the state that a closed connection leaves behind."""

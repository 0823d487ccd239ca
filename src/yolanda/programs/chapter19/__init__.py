"""Chapter 19: questions answered, and the mid-term, a server that is asked for its files."""

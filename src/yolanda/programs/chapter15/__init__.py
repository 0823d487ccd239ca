"""Chapter 15: the address that is already in use."""

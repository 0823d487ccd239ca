"""Chapter 27: one reactor serves all connections."""

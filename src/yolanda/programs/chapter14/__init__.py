"""Chapter 14: connected UDP."""

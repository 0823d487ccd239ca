"""Chapter 11: closing a connection with grace, or without."""

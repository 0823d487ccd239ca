"""Chapter 21: poll, without the limits of select."""

"""Chapter 6: UDP, the little brother."""

"""Chapter 13: small packets, and how not to wait for them."""

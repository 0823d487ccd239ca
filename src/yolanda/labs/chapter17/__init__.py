"""Chapter 17: how a program learns that its peer is gone."""

"""Chapter 32: the reactor of the framework."""

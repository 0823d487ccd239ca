"""Chapter 18: trust nothing that arrives, and do not wait for ever."""

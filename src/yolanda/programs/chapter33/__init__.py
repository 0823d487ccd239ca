"""Chapter 33: the threads of the framework."""

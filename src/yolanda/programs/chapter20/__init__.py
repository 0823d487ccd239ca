"""Chapter 20: select, one wait for several inputs."""

"""A service seen from outside: access log, metrics, probes."""

"""Processes that serve: a master and its workers, reloading, and what systemd is told."""

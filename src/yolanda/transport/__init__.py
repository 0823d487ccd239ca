"""Sockets that belong to a loop."""

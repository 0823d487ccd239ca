"""WSGI (PEP 3333): applications that run in threads, beside the loop that serves their clients."""

"""Applications of others on the HTTP server: ASGI, WSGI, and the processes that run them."""

"""ASGI 3.0 on the reactor, which lives inside asyncio's loop."""

"""Chapter 26: a thread for each connection, and a pool of them."""

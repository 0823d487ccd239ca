"""Chapter 31: epoll from the inside."""

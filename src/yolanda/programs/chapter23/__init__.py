"""Chapter 23: epoll, by level and by edge."""

"""Chapter 29: the reactors of chapter 28 on epoll."""

"""Chapter 9: a first task of one's own, a chat room."""

"""What the chat programs of chapter 9 share: the room, and what joins it with others."""

"""Chapter 16: TCP is a stream; where a message ends is for the program to say."""

"""The programs of the course, one file each, in a folder a chapter."""

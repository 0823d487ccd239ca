"""The programs of the course, one file each."""

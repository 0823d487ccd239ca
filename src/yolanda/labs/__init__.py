"""The experiments of the course, that play and judge themselves; one file each."""

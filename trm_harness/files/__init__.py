"""Files: bounded reading of what others wrote, one writer, locks, downloads, and where things lie."""

"""The command line: a lazy main group, a file or folder per verb; what a verb needs is imported in its functions."""

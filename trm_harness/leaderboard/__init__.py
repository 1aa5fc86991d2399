"""Records of our runs and scores that others published, in one table that keeps their differences visible."""

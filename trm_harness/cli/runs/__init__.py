"""``trm-harness runs``: a file a subject."""

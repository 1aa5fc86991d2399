"""``trm-harness zoo``: commands on cards, and making cards."""

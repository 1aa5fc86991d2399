"""``trm-harness leaderboard``: commands, building the site, checking what is filed."""

"""Plugins: found, checked and kept apart from one another. What a plugin itself imports lies at the package's root."""

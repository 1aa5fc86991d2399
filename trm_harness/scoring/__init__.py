"""Scoring: rows of the journal to scores. Needs no model."""

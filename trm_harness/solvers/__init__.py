"""Exact solvers of puzzles: small, plain Python and numpy, shared by task generators and oracle models."""

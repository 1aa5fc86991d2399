"""Torch building blocks shared by model plugins and trainers. Imports nothing of the harness but types and errors."""

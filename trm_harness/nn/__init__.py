"""Torch building blocks shared by model plugins and trainers: blocks, losses, optimizers, and the Model wrapper."""

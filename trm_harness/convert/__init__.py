"""Weights from one form to another: other people's checkpoints to ours, ours to theirs, and folders for a hub.

The one folder that reads pickles, and it reads tensors from them only (:mod:`trm_harness.convert.unpickle`).
"""

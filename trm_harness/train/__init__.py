"""Training: recipes, the learner that takes one supervision step at a time, and checkpoints. Needs torch."""

from trm_harness.callable import callable_package

callable_package(__name__, "trm_harness.api:train")

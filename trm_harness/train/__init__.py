"""Training: recipes, the learner that takes one supervision step at a time, and checkpoints. Needs torch."""

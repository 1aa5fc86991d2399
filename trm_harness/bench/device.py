"""A device beside the CPU: gradients of one training step, and puzzles answered a second."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import islice

import torch

from trm_harness.api import load_model
from trm_harness.bench.clock import by_turns, ratio
from trm_harness.bench.machine import waiting
from trm_harness.inference import StepOptions, ask
from trm_harness.machine import usual_dtype
from trm_harness.train.learner import Learner
from trm_harness.train.session import Job, build, find_recipe

MODEL, TASK = "trm-nano", "sudoku-4x4"
BATCH, PUZZLES = 16, 64


def gradients_apart(device: str) -> float:
    """Largest difference of a gradient on ``device`` from the CPU's, as a share of the largest one; float32."""
    here, there = (_gradients(one) for one in ("cpu", device))
    largest = max(float(gradient.abs().max()) for gradient in here.values())
    return max(float((here[name] - there[name]).abs().max()) for name in here) / largest


def speed(device: str, repeats: int = 3) -> tuple[float, float]:
    """Puzzles a second at full depth in the format that ``auto`` means on ``device``, and how many times the CPU's."""
    work = {}
    for one in dict.fromkeys(("cpu", device)):
        loaded = load_model(f"{MODEL}.{TASK}", device=one, dtype=usual_dtype(one))
        puzzles = list(islice(loaded.task.puzzles("test"), PUZZLES))
        work[one] = partial(ask, loaded.task, loaded.model, puzzles, StepOptions(loaded.model.steps))
    timings = by_turns(work, repeats, waiting(device))
    return PUZZLES / timings[device].median, 1 / ratio(timings["cpu"], timings[device])


def _gradients(device: str) -> dict[str, torch.Tensor]:
    """By parameter, of the first training step from the recipe's own start."""
    recipe = find_recipe(None, MODEL, TASK)[1]
    recipe = replace(recipe, batch_size=BATCH, accumulate=1, dtype="float32", compile=False, validate_every=0)
    parts = build(Job(TASK, MODEL, recipe, device=device))
    learner = Learner(parts.model, parts.source, recipe)
    learner.gradients(learner.draws[1])
    named = parts.model.network.named_parameters()
    return {name: value.grad.float().cpu() for name, value in named if value.grad is not None}

"""Training steps a second, compiled and not, how long a step waits for its batch, and the reference beside us."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch

from trm_harness.bench.clock import Timing, Work, by_turns, ratio
from trm_harness.bench.machine import PRODUCT, Product, clock_of, describe_used, fastest_product, waiting
from trm_harness.bench.reference import Lesson, Reference
from trm_harness.errors import BadInput
from trm_harness.nn.kernels import compile_stacks, plain_kernels
from trm_harness.nn.model import DTYPES
from trm_harness.nn.reference import to_reference
from trm_harness.progress import say
from trm_harness.train.data import AHEAD, Drawn, batches
from trm_harness.train.learner import Learner
from trm_harness.train.session import Job, Parts, build

THEIRS = "reference"


@dataclass(frozen=True)
class Question:
    """What is measured: ``repeats`` steps each way, and as many with batches drawn by ``workers`` processes."""

    repeats: int = 5
    compiled: bool = False
    workers: int = 0
    against: Path | None = None


def bench(job: Job, question: Question) -> dict[str, Any]:
    """Times of a step and of its batch, JSON-ready. ``BadInput`` for whatever does not go together."""
    recipe = dataclasses.replace(job.recipe, validate_every=0)
    if question.against is not None:
        # The reference has no micro-batches.
        recipe = dataclasses.replace(recipe, accumulate=1)
    parts = build(dataclasses.replace(job, recipe=recipe))
    learner, numbers = Learner(parts.model, parts.source, recipe), count(1)
    bucket = max(parts.source.buckets, key=parts.source.buckets.__getitem__)
    drawn = Drawn(bucket, parts.source.draw(bucket, 1, recipe.batch_size))
    device = str(parts.model.network.device)
    work: dict[str, Work] = {"step": plain_kernels()(partial(learner.advance, drawn))}
    work["batch"] = lambda: parts.source.draw(bucket, next(numbers), recipe.batch_size)
    lesson, agreement = _lesson(parts, learner, drawn, question)
    if lesson is not None:
        work |= {"gradients": plain_kernels()(partial(learner.gradients, drawn)), THEIRS: plain_kernels()(lesson)}
    if question.compiled:
        compile_stacks(parts.model.network, lambda message: None)
        work["compiled step"] = partial(learner.advance, drawn)
        if lesson is not None:
            work |= {"compiled gradients": partial(learner.gradients, drawn), f"compiled {THEIRS}": lesson}
    product = fastest_product(device, DTYPES[recipe.dtype])
    timings = by_turns(work | {PRODUCT: product.run}, question.repeats, waiting(device), clock_of(device)[1])
    say(f"{question.repeats} real steps, to see how long they wait for batches")
    waits = _waits(learner, question, waiting(device))
    flops = recipe.batch_size * parts.model.network.training_flops(drawn.rows.tokens.shape[1])
    return {
        "bench": "train",
        "task": job.task,
        "model": job.model,
        "dtype": recipe.dtype,
        "batch": recipe.batch_size,
        "clock": clock_of(device)[0],
        **_told(timings, recipe.batch_size, flops, product),
        "input": timings["batch"].as_dict() | waits,
        "agreement": agreement,
        "machine": describe_used(device),
    }


def _lesson(parts: Parts, learner: Learner, drawn: Drawn, question: Question) -> tuple[Work | None, dict[str, Any]]:
    """A step's gradients by the reference, and how far its first ones are from ours on the same weights and batch."""
    if question.against is None:
        return None, {}
    say("comparing the first gradients with the reference's")
    lesson, batch = _theirs(parts, learner, drawn, question.against)
    with plain_kernels():
        ours, theirs = learner.gradients(drawn)["loss"], lesson.run(batch)
    agreement = {"loss": ours, "reference_loss": theirs, "largest_gradient_difference": _apart(parts, lesson)}
    learner.carries.clear()
    if question.compiled:
        lesson.compile()
    return partial(lesson.run, batch), agreement


def _theirs(parts: Parts, learner: Learner, drawn: Drawn, folder: Path) -> tuple[Lesson, dict[str, torch.Tensor]]:
    network, recipe = parts.model.network, learner.recipe
    if network.config.identities == "factored":
        raise BadInput("the reference has no factored identities: leave --against out")
    rows = learner.rows(drawn.rows)
    if rows.tokens.shape[1] != network.config.seq_len:
        raise BadInput("the reference trains on full canvases only: leave --against out")
    stage, (rounds, updates) = recipe.stages[0], learner.own_cycles
    changed = {
        "H_cycles": stage.h_cycles or rounds,
        "L_cycles": stage.l_cycles or updates,
        "halt_max_steps": stage.supervision_steps,
        "halt_exploration_prob": recipe.halt_exploration,
    }
    names = list(parts.model.identities.names)
    theirs = Reference(folder, parts.model.architecture, network, names, recipe.batch_size, changed)
    ids = torch.zeros(len(rows.tokens), dtype=torch.int64, device=rows.tokens.device)
    batch = {"inputs": rows.tokens, "labels": rows.labels[:, : rows.tokens.shape[1]]}
    batch["puzzle_identifiers"] = ids if network.table is None else rows.ids[:, 0]
    return Lesson(theirs, recipe.loss), {name: tensor.to(torch.int32) for name, tensor in batch.items()}


def _apart(parts: Parts, lesson: Lesson) -> float:
    """Largest difference of a gradient's value, as a share of the largest value."""
    named = parts.model.network.named_parameters()
    ours = to_reference(parts.model.architecture, {name: p.grad for name, p in named if p.grad is not None})
    theirs = lesson.gradients()
    if set(ours) != set(theirs):
        raise BadInput(f"the reference has gradients for other tensors: {min(set(ours) ^ set(theirs))}")
    largest = max(float(grad.abs().max()) for grad in theirs.values())
    return max(float((ours[name] - grad).abs().max()) for name, grad in theirs.items()) / largest


def _waits(learner: Learner, question: Question, wait: Callable[[], None]) -> dict[str, Any]:
    """Share of its time that training waits for batches, over real steps of the fastest way there is."""
    size, source = learner.recipe.batch_size, learner.source
    first, ready = learner.step + 1, AHEAD * question.workers
    drawn = batches(learner.draws, first, first + ready + question.repeats, question.workers)
    waited: list[float] = []
    taken: list[float] = []
    with nullcontext() if question.compiled else plain_kernels():
        for name in source.buckets:
            # Each bucket's carry and kernels, before the clock runs.
            learner.advance(Drawn(name, source.draw(name, 1, size)))
        for _ in range(ready):
            # What lies ready would hide that batches are made more slowly than they are used.
            next(drawn)
        learner.advance(next(drawn))
        for _ in range(question.repeats):
            wait()
            began = time.perf_counter()
            one = next(drawn)
            waited.append(time.perf_counter() - began)
            learner.advance(one)
            wait()
            taken.append(time.perf_counter() - began)
    shares = {"workers": question.workers, "stall_share": sum(waited) / sum(taken)}
    return shares | {"waited_s": waited, "step_and_wait_s": taken}


def _told(timings: dict[str, Timing], size: int, flops: float, product: Product) -> dict[str, Any]:
    own = timings[PRODUCT]
    steps = {name: timing for name, timing in timings.items() if name.endswith("step")}
    rest = {name: timing for name, timing in timings.items() if name not in (*steps, "batch", PRODUCT)}

    def row(timing: Timing, first: Timing) -> dict[str, Any]:
        return timing.as_dict() | {
            "examples_per_s": size / timing.median,
            "speed": 1 / ratio(first, timing),
            "mfu": product.utilisation(flops, timing, own),
        }

    return {
        "matmul_peak_flops": product.peak(own),
        "matrix_product": own.as_dict(),
        "rows": {name: row(timing, steps["step"]) for name, timing in steps.items()},
        "measured_beside": "step",
        "without_optimizer": {name: row(timing, timings[THEIRS]) for name, timing in rest.items()},
    }

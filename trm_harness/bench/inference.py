"""Puzzles answered a second: full depth, settled and adaptive halting, compiled blocks, the reference beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trm_harness.api import LoadedModel
from trm_harness.bench.clock import Timing, Work, by_turns, ratio
from trm_harness.bench.machine import PRODUCT, Product, clock_of, describe_used, fastest_product, waiting
from trm_harness.bench.reference import Reference
from trm_harness.errors import BadInput
from trm_harness.inference.ask import as_they_stand
from trm_harness.inference.plan import BAR, Asked, StepOptions, batch_up, to_batch
from trm_harness.inference.plan_file import budget_for
from trm_harness.inference.steps import predict
from trm_harness.machine import free_memory
from trm_harness.nn.kernels import compile_stacks, plain_kernels
from trm_harness.nn.model import TorchModel
from trm_harness.progress import say


@dataclass(frozen=True)
class Question:
    """What is measured: the first ``batch`` puzzles of ``split`` in one batch, ``repeats`` times each way.

    Where `eval` would cut that batch, each way is measured cut like that as well.

    ``above`` and ``settled`` are the bars of adaptive and of settled halting.
    """

    split: str
    batch: int = 64
    repeats: int = 5
    steps: int = 0
    above: float = BAR
    settled: float = BAR
    compiled: bool = False
    against: Path | None = None


def bench(loaded: LoadedModel, question: Question) -> dict[str, Any]:
    """Times, ratios, share of the matmul peak and memory, JSON-ready. ``BadInput`` for a model that is no network."""
    model = loaded.model
    if not isinstance(model, TorchModel):
        raise BadInput(f"model {loaded.name} is no torch network: there is no depth to measure")
    asked, steps = _asked(loaded, question), question.steps or model.steps
    work: dict[str, Work] = {}
    bars = {"full": BAR, "settled": question.settled, "adaptive": question.above}
    cut = _cut(loaded, asked, steps)
    ways = {"": [asked], ", cut": cut} if len(cut) > 1 else {"": [asked]}
    # When untrained weights halt says nothing of anybody's.
    for halt in ("full",) if loaded.launch.untrained else bars:
        for way, batches in ways.items():
            answer = partial(_answer, loaded, batches, StepOptions(steps, halt, bars[halt]))
            work[halt + way] = plain_kernels()(answer)
    if question.compiled:
        compile_stacks(model.network, lambda message: None)
        for way, batches in ways.items():
            work["compiled" + way] = partial(_answer, loaded, batches, StepOptions(steps))
    agreement: dict[str, Any] = {}
    if question.against is not None:
        say(f"comparing {len(asked)} answers with the reference's")
        theirs, batch = _reference(model, question, asked, steps)
        with torch.inference_mode():
            agreement = _agreement(model, asked, theirs.run(batch), steps)
        answer = partial(_their_answers, theirs, batch)
        work["reference"] = plain_kernels()(answer)
        if question.compiled:
            theirs.compile()
            work["compiled reference"] = answer
    product = fastest_product(loaded.launch.device, model.network.dtype)
    device = loaded.launch.device
    timings = by_turns(work | {PRODUCT: product.run}, question.repeats, waiting(device), clock_of(device)[1])
    return _told(loaded, question, asked, steps, product, timings, agreement)


def _asked(loaded: LoadedModel, question: Question) -> list[Asked]:
    puzzles = loaded.task.puzzles(question.split)
    made = as_they_stand(loaded.task, loaded.model, islice(puzzles, question.batch))
    # Puzzles of one length: the most that there are.
    return max(batch_up(made, lambda length: len(made)), key=len)


def _cut(loaded: LoadedModel, asked: Sequence[Asked], steps: int) -> list[list[Asked]]:
    """``asked`` in the batches that `eval` would make of them."""
    device = loaded.launch.device
    budget = budget_for(device, free_memory(device))
    return list(batch_up(asked, lambda length: budget.batch_size(loaded.model, length, steps)))


def _answer(loaded: LoadedModel, batches: Sequence[Sequence[Asked]], options: StepOptions) -> None:
    for batch in batches:
        predict(loaded.task, loaded.model, batch, options)


def _reference(
    model: TorchModel, question: Question, asked: Sequence[Asked], steps: int
) -> tuple[Reference, dict[str, Any]]:
    batch = to_batch(asked)
    names = list(model.identities.names)
    theirs = Reference(
        question.against, model.architecture, model.network, names, len(asked), {"halt_max_steps": steps}
    )
    rows = [names.index(name) if name in names else 0 for name in batch.identities]
    tokens = _on_canvas(batch.tokens, batch.positions, model.network.config.seq_len)
    made = {"inputs": tokens, "labels": tokens, "puzzle_identifiers": np.array(rows, np.int32)}
    return theirs, {name: torch.from_numpy(array).to(model.device) for name, array in made.items()}


def _their_answers(theirs: Reference, batch: dict[str, Any]) -> NDArray[np.int64]:
    return theirs.run(batch)["logits"].argmax(-1).cpu().numpy()


def _on_canvas(tokens: NDArray[np.int32], positions: NDArray[np.int32], length: int) -> NDArray[np.int32]:
    """The reference knows full canvases only: padding (0) wherever a row holds nothing."""
    full = np.zeros((len(tokens), length), np.int32)
    np.put_along_axis(full, positions.astype(np.int64), tokens, axis=1)
    return full


def _agreement(model: TorchModel, asked: Sequence[Asked], theirs: Any, steps: int) -> dict[str, Any]:
    """How far logits and answers differ after the last step, where both saw the same canvas."""
    batch = to_batch(asked)
    if batch.tokens.shape[1] != model.network.config.seq_len:
        return {"compared": False}
    state, out = model.begin(batch), None
    latents = state.latents
    for _ in range(steps):
        out = model.network.step(latents, state.x, state.rope)
        latents = out.state
    difference = (out.logits.float() - theirs["logits"].float()).abs().max()
    same = (out.logits.argmax(-1) == theirs["logits"].argmax(-1)).all(-1)
    return {
        "compared": True,
        "largest_logit_difference": float(difference),
        "equal_answers": int(same.sum()),
        "of": len(asked),
    }


def _told(
    loaded: LoadedModel,
    question: Question,
    asked: Sequence[Asked],
    steps: int,
    product: Product,
    timings: dict[str, Timing],
    agreement: Any,
) -> dict[str, Any]:
    model, device, own = loaded.model, loaded.launch.device, timings.pop(PRODUCT)
    flops = model.cost(asked[0].encoded.length).flops_per_step * steps * len(asked)
    # The reference lays every puzzle on the full canvas.
    full = model.cost(model.network.config.seq_len).flops_per_step * steps * len(asked)
    beside = "reference" if "reference" in timings else "full"
    rows = {}
    for name, timing in timings.items():
        row = {"examples_per_s": len(asked) / timing.median, "speed": 1 / ratio(timings[beside], timing)}
        if not name.startswith(("adaptive", "settled")):
            row["mfu"] = product.utilisation(full if "reference" in name else flops, timing, own)
        rows[name] = timing.as_dict() | row
    return {
        "bench": "eval",
        "task": loaded.task.spec.id,
        "model": loaded.name,
        "split": question.split,
        "dtype": loaded.launch.dtype,
        "batch": len(asked),
        "steps": steps,
        "halt_above": question.above,
        "settled_above": question.settled,
        "clock": clock_of(device)[0],
        "tokens": asked[0].encoded.length,
        "matmul_peak_flops": product.peak(own),
        "matrix_product": own.as_dict(),
        "rows": rows,
        "measured_beside": beside,
        "agreement": agreement,
        "machine": describe_used(device),
    }

"""Puzzles answered a second: full depth, adaptive halting, compiled blocks, and the reference beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trm_harness.api import LoadedModel
from trm_harness.bench.clock import Timing, Work, by_turns, ratio
from trm_harness.bench.machine import PRODUCT, Product, describe_used, fastest_product, waiting
from trm_harness.bench.reference import Reference
from trm_harness.errors import BadInput
from trm_harness.evaluate.plan import Asked, Item, batch_up, item_seed, to_batch
from trm_harness.evaluate.steps import predict
from trm_harness.nn.kernels import compile_stacks, plain_kernels
from trm_harness.nn.model import TorchModel
from trm_harness.types import IDENTITY


@dataclass(frozen=True)
class Question:
    """What is measured: the first ``batch`` puzzles of ``split`` in one batch, ``repeats`` times each way."""

    split: str
    batch: int = 64
    repeats: int = 5
    steps: int = 0
    above: float = 0.5
    compiled: bool = False
    against: Path | None = None


def bench(loaded: LoadedModel, question: Question) -> dict[str, Any]:
    """Times, ratios, share of the matmul peak and memory, JSON-ready. ``BadInput`` for a model that is no network."""
    model = loaded.model
    if not isinstance(model, TorchModel):
        raise BadInput(f"model {loaded.name} is no torch network: there is no depth to measure")
    asked, steps = _asked(loaded, question), question.steps or model.steps
    work: dict[str, Work] = {}
    for halt in ("full", "adaptive"):
        answer = partial(predict, loaded.task, model, asked, steps, halt, lambda share: None, above=question.above)
        work[halt] = plain_kernels()(answer)
    if question.compiled:
        compile_stacks(model.network, lambda message: None)
        work["compiled"] = partial(predict, loaded.task, model, asked, steps, "full", lambda share: None)
    agreement: dict[str, Any] = {}
    if question.against is not None:
        if question.steps not in (0, model.steps):
            raise BadInput(f"the reference takes its {model.steps} steps: leave --steps out beside --against")
        theirs, batch = _reference(model, question, asked)
        with torch.inference_mode():
            agreement = _agreement(model, asked, theirs.run(batch), steps)
        answer = partial(_their_answers, theirs, batch)
        work["reference"] = plain_kernels()(answer)
        if question.compiled:
            theirs.compile()
            work["compiled reference"] = answer
    product = fastest_product(loaded.launch.device, model.network.dtype)
    timings = by_turns(work | {PRODUCT: product.run}, question.repeats, waiting(loaded.launch.device))
    return _told(loaded, question, asked, steps, product, timings, agreement)


def _asked(loaded: LoadedModel, question: Question) -> list[Asked]:
    puzzles = loaded.task.puzzles(question.split)
    made = []
    for place in range(min(question.batch, len(puzzles))):
        bare = puzzles[place].without_answer()
        encoded = loaded.task.encode(bare, IDENTITY, loaded.model.encoding)
        made.append(Asked(Item(place, 0, IDENTITY, 0), bare, encoded, item_seed(0, bare.id, 0, 0)))
    # Puzzles of one length: the most that there are.
    return max(batch_up(made, lambda length: len(made)), key=len)


def _reference(model: TorchModel, question: Question, asked: Sequence[Asked]) -> tuple[Reference, dict[str, Any]]:
    batch = to_batch(asked)
    names = list(model.identities.names)
    theirs = Reference(question.against, model.architecture, model.network, names, len(asked))
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
        if name != "adaptive":
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
        "tokens": asked[0].encoded.length,
        "matmul_peak_flops": product.peak(own),
        "matrix_product": own.as_dict(),
        "rows": rows,
        "measured_beside": beside,
        "agreement": agreement,
        "machine": describe_used(device),
    }

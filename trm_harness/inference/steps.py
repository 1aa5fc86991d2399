"""One batch through a model: supervision steps, halting, answers back in the puzzles' own frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trm_harness.contracts import Model, Task
from trm_harness.errors import PluginError
from trm_harness.evaluate.plan import Asked, to_batch
from trm_harness.journal import Row
from trm_harness.types import Grid, Prediction, Tokens

Answer = Tokens | Grid | None


@dataclass(eq=False)
class _Trace:
    """What one item was answered so far: kept answers (tokens, or a grid in the view's frame) and logits."""

    asked: Asked
    answers: list[Answer] = field(default_factory=list)
    halts: list[float] = field(default_factory=list)
    tokens: bool = True

    def add(self, answer: Answer, halt: float, tokens: bool) -> None:
        """One more step. The depth curve needs every answer of the identity view, votes only the last one."""
        if self.asked.item.view or self.asked.item.restart:
            self.answers.clear()
        self.answers.append(answer)
        self.halts.append(halt)
        self.tokens = tokens


def predict(
    task: Task,
    model: Model,
    asked: Sequence[Asked],
    steps: int,
    halt: str,
    tick: Callable[[float], None],
    noise: float = 0.0,
    above: float = 0.5,
) -> list[Row]:
    """The rows of a batch, in its order, after at most ``steps`` supervision steps.

    ``halt="adaptive"`` takes a puzzle out of the batch at its first halting score (sigmoid of the logit) above
    ``above``, which never touches the answer it has. ``tick`` is told each finished step's share of the batch.
    ``noise`` above 0 needs a :class:`~trm_harness.contracts.Perturbable` model. ``PluginError`` if the model's output
    has not the shape of the batch.
    """
    traces = [_Trace(one) for one in asked]
    state, live, bar = model.begin(to_batch(asked)), traces, math.log(above / (1 - above))
    for step in range(1, steps + 1):
        if noise:
            state = model.perturb(state, noise, _seeds(live), step)
        state, prediction = model.step(state)
        _check(model, prediction, len(live), asked[0].encoded.length)
        _keep(live, prediction)
        tick(1 / steps)
        if halt == "adaptive" and step < steps:
            going = [place for place, logit in enumerate(prediction.halt) if not logit > bar]
            if len(going) < len(live):
                live = [live[place] for place in going]
                state = model.select(state, going) if going else None
        if not live:
            break
    return [_row(task, trace) for trace in traces]


def _seeds(live: list[_Trace]) -> NDArray[np.uint64]:
    return np.array([trace.asked.seed for trace in live], dtype=np.uint64)


def _keep(live: list[_Trace], prediction: Prediction) -> None:
    """File the answers of one step with their items."""
    tokens = prediction.answers is None
    answers = prediction.tokens if tokens else prediction.answers
    halts = np.asarray(prediction.halt, dtype=np.float32).tolist()
    for trace, answer, logit in zip(live, answers, halts, strict=True):
        # A model may reuse its buffer for the next step.
        trace.add(np.array(answer) if tokens else answer, logit, tokens)


def _row(task: Task, trace: _Trace) -> Row:
    """The journal row of a finished item."""
    item, encoded = trace.asked.item, trace.asked.encoded
    grids: list[Grid | None] = []
    for place, answer in enumerate(trace.answers):
        if place and _same(answer, trace.answers[place - 1]):
            grids.append(grids[-1])
            continue
        grid = task.decode(answer, encoded) if trace.tokens and answer is not None else answer
        grids.append(task.invert(grid, item.transform) if grid is not None and item.transform else grid)
    return Row(
        puzzle=trace.asked.puzzle.id,
        view=item.view,
        transform=item.transform,
        restart=item.restart,
        answers=tuple(grids),
        halts=tuple(trace.halts),
        steps=len(trace.halts),
        length=encoded.length,
    )


def _same(answer: Answer, before: Answer) -> bool:
    return answer is before or (answer is not None and before is not None and np.array_equal(answer, before))


def _check(model: Model, prediction: Prediction, size: int, length: int) -> None:
    """``PluginError`` naming the model whose output does not fit its batch."""
    name = model.spec.id
    if np.shape(prediction.halt) != (size,):
        raise PluginError(f"model {name}: halt has shape {np.shape(prediction.halt)} for a batch of {size}")
    if prediction.answers is not None:
        if len(prediction.answers) != size:
            raise PluginError(f"model {name}: {len(prediction.answers)} answers for a batch of {size}")
    elif np.shape(prediction.tokens) != (size, length):
        shape = np.shape(prediction.tokens)
        raise PluginError(f"model {name}: tokens have shape {shape}, not the batch's {(size, length)}")

"""One batch through a model: supervision steps, halting, answers back in the puzzles' own frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_harness.contracts import Model, Task, Transcribes
from trm_harness.errors import PluginError
from trm_harness.grids import SYMBOLS
from trm_harness.inference.plan import Asked, StepOptions, to_batch
from trm_harness.record.journal import Row
from trm_harness.types import Grid, Prediction, Tokens

Answer = Tokens | Grid | None


@dataclass(eq=False)
class _Trace:
    """What one item was answered so far: kept answers (tokens, or a grid in the view's frame) and logits."""

    asked: Asked
    answers: list[Answer] = field(default_factory=list)
    halts: list[float] = field(default_factory=list)
    tokens: bool = True
    settled: bool = False

    def add(self, answer: Answer, halt: float, tokens: bool) -> None:
        """One more step. The depth curve needs every answer of the identity view, votes only the last one."""
        self.settled = bool(self.answers) and _same(answer, self.answers[-1])
        if self.asked.item.view or self.asked.item.restart:
            self.answers.clear()
        self.answers.append(answer)
        self.halts.append(halt)
        self.tokens = tokens


def predict(
    task: Task,
    model: Model,
    asked: Sequence[Asked],
    options: StepOptions,
    tick: Callable[[float], None] = lambda share: None,
) -> list[Row]:
    """The rows of a batch, in its order, after at most ``options.steps`` supervision steps.

    ``halt="adaptive"`` takes a puzzle out of the batch at its first halting score (sigmoid of the logit) above
    ``above``, ``settled`` at the first such step that also answers as the one before; neither touches the answer it
    has. ``tick`` is told each finished step's share of the batch.
    ``noise`` above 0 needs a :class:`~trm_harness.contracts.Perturbable` model. ``PluginError`` if the model's output
    has not the shape of the batch.
    """
    traces = [_Trace(one) for one in asked]
    state, live, bar = model.begin(to_batch(asked)), traces, math.log(options.above / (1 - options.above))
    for step in range(1, options.steps + 1):
        if options.noise:
            state = model.perturb(state, options.noise, _seeds(live), step)
        state, prediction = model.step(state)
        _check(model, prediction, len(live), asked[0].encoded.length)
        _keep(live, prediction)
        tick(1 / options.steps)
        if options.halt != "full" and step < options.steps:
            wanted = options.halt == "settled"
            done = [
                logit > bar and (one.settled or not wanted) for one, logit in zip(live, prediction.halt, strict=True)
            ]
            going = [index for index, leaves in enumerate(done) if not leaves]
            if len(going) < len(live):
                live = [live[index] for index in going]
                state = model.select(state, going) if going else None
        if not live:
            break
    return [_row(task, trace) for trace in traces]


def as_they_come(task: Task, model: Transcribes, asked: Sequence[Asked]) -> Iterator[tuple[Row, dict[str, Any]]]:
    """The row of each item as its answer comes, with the transcript that it was read from."""
    for said in model.replies(to_batch(asked)):
        yield answered(task, asked[said.row], said.answer, said.halt), dict(said.transcript)


def answered(task: Task, asked: Asked, answer: Grid | None, halt: float) -> Row:
    """The row of an item that was answered in one step."""
    return _row(task, _Trace(asked, [answer], [halt], tokens=False))


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
    for index, answer in enumerate(trace.answers):
        if index and _same(answer, trace.answers[index - 1]):
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


def _no_grid(answer: Any) -> str:
    """What an answer is that cannot be kept; empty for a grid of symbols and for none."""
    if answer is None:
        return ""
    if not isinstance(answer, np.ndarray):
        return f"a {type(answer).__name__}, no array"
    if answer.ndim != 2 or answer.dtype.kind not in "ui":
        return f"an array {answer.dtype} {list(answer.shape)}"
    if answer.size and not (answer.min() >= 0 and answer.max() < len(SYMBOLS)):
        return f"a grid with {answer.min()} to {answer.max()}, where 0 to {len(SYMBOLS) - 1} can be kept"
    return ""


def _check(model: Model, prediction: Prediction, size: int, length: int) -> None:
    """``PluginError`` naming the model whose output does not fit its batch."""
    name = model.spec.id
    if np.shape(prediction.halt) != (size,):
        raise PluginError(f"model {name}: halt has shape {np.shape(prediction.halt)} for a batch of {size}")
    if prediction.answers is not None:
        if len(prediction.answers) != size:
            raise PluginError(f"model {name}: {len(prediction.answers)} answers for a batch of {size}")
        for answer in prediction.answers:
            if complaint := _no_grid(answer):
                raise PluginError(
                    f"model {name}: an answer is {complaint}: give uint8 [height, width], or None for none"
                )
    elif np.shape(prediction.tokens) != (size, length):
        shape = np.shape(prediction.tokens)
        raise PluginError(f"model {name}: tokens have shape {shape}, not the batch's {(size, length)}")

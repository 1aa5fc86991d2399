"""The jobs of the command line as Python calls of one line each, for notebooks and scripts.

>>> import trm_harness
>>> model = trm_harness.load_model("trm-nano.sudoku-4x4")
>>> model.predict("1... / ..3. / .2.. / ...4")                                                    # doctest: +SKIP
>>> trm_harness.evaluate("sudoku-4x4", model, limit=20).headline.value                            # doctest: +SKIP
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trm_harness.contracts import Model, Perturbable, Task
from trm_harness.errors import BadInput
from trm_harness.evaluate import InferencePlan, Watchers
from trm_harness.evaluate.plan import item_seed
from trm_harness.launch import Choices, Launch, load, prepare, task_of, weights_of
from trm_harness.launch.choices import launch_of
from trm_harness.record import RunRecord
from trm_harness.registry import default
from trm_harness.show import grid_html, grid_text
from trm_harness.types import IDENTITY, Batch, Grid, ModelFacts, Puzzle
from trm_harness.zoo import find, named, pull

GridLike = Grid | Sequence[Sequence[int]] | str
Pair = tuple[GridLike, GridLike]


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model made of one puzzle: ``grids`` after every supervision step and the halting logits; the last counts.

    Shows itself in a notebook, prints as digits, and is an array wherever numpy wants one.
    """

    puzzle: Puzzle
    grids: tuple[Grid, ...]
    halts: tuple[float, ...]
    coloured: bool = True

    @property
    def grid(self) -> Grid:
        """The answer: ``uint8 [height, width]`` in the task's symbols."""
        return self.grids[-1]

    @property
    def correct(self) -> bool | None:
        """Whether the answer is the puzzle's own, where that is known."""
        known = self.puzzle.answer
        return None if known is None else bool(np.array_equal(known, self.grid))

    @property
    def settled(self) -> int:
        """The step from which on the answer stayed as it is, counted from 1."""
        changed = [step for step, grid in enumerate(self.grids, start=1) if not np.array_equal(grid, self.grid)]
        return max(changed, default=0) + 1

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self.grid, dtype=dtype)

    def __str__(self) -> str:
        return grid_text(self.grid.tolist()) or "(empty)"

    def __repr__(self) -> str:
        return f"{self}\n{self._caption()}"

    def _repr_html_(self) -> str:
        given = self.puzzle.input.tolist()
        same = self.puzzle.input.shape == self.grid.shape and not self.coloured
        tables = [grid_html(given, self.coloured, given if not self.coloured else None, "puzzle")]
        tables.append(grid_html(self.grid.tolist(), self.coloured, given if same else None, self._caption()))
        return f"<div>{''.join(tables)}</div>"

    def _caption(self) -> str:
        verdict = {True: ", right", False: ", wrong", None: ""}[self.correct]
        return f"step {len(self.grids)}, settled at {self.settled}, halting logit {self.halts[-1]:+.2f}{verdict}"


class LoadedModel:
    """Weights and the task they answer. ``model`` keeps :class:`~trm_harness.contracts.Model`."""

    def __init__(self, choices: Choices, task: Task, launch: Launch, model: Model) -> None:
        self.choices, self.task, self.launch, self.model = choices, task, launch, model

    @property
    def name(self) -> str:
        """The card's name, or the architecture's."""
        return self.launch.card or self.launch.model

    @property
    def facts(self) -> ModelFacts:
        """Size, depth and weights."""
        return self.model.facts()

    def predict(
        self,
        puzzle: Puzzle | GridLike,
        demonstrations: Sequence[Pair] = (),
        *,
        name: str = "",
        steps: int | None = None,
        noise: float = 0.0,
        seed: int = 0,
    ) -> Answer:
        """Answer one puzzle: a grid (rows of symbols, 0 or ``.`` for a blank), or a puzzle of the task.

        ``demonstrations`` are pairs of grids, for tasks that show some; ``name`` is the task's id in the model's table
        (a model that does not know it reads its blank row). ``steps`` defaults to the model's own. ``BadInput`` for a
        grid that the model cannot read.
        """
        asked = puzzle if isinstance(puzzle, Puzzle) else _puzzle(puzzle, demonstrations, name)
        bare = asked.without_answer()
        encoded = self.task.encode(bare, IDENTITY, self.model.encoding)
        positions = np.arange(encoded.length, dtype=np.int32) if encoded.positions is None else encoded.positions
        seeds = np.array([item_seed(seed, bare.id, 0, 0)], dtype=np.uint64)
        batch = Batch((bare,), encoded.tokens[None], positions[None], (encoded.identity,), seeds)
        if noise and not isinstance(self.model, Perturbable):
            raise BadInput(f"model {self.name} has no latent state that noise could be added to")
        state, grids, halts = self.model.begin(batch), [], []
        for step in range(1, (steps or self.model.steps) + 1):
            if noise:
                state = self.model.perturb(state, noise, seeds, step)
            state, prediction = self.model.step(state)
            grids.append(self._grid(prediction, encoded))
            halts.append(float(prediction.halt[0]))
        return Answer(asked, tuple(grids), tuple(halts), self.task.spec.family != "sudoku")

    def evaluate(self, *, out: str | Path | None = None, **choices: Any) -> RunRecord:
        """Answer the task's puzzles and score the answers: :func:`evaluate` with this model's task and weights."""
        return evaluate(self.task.spec.id, self, out=out, **choices)

    def adapted(self, mode: str = "puzzle-embedding", steps: int = 100) -> LoadedModel:
        """The model that learns each task of its split from its demonstrations before it answers it."""
        return _load(replace(self.choices, adapt=mode, adapt_steps=steps))

    def __repr__(self) -> str:
        size, depth = self.facts.parameters.network, self.facts.effective_depth
        told = f"{size:,} parameters, {self.model.steps} steps of {depth} layers, {self.launch.dtype}"
        return f"<{self.name} for {self.task.spec.id}: {told} on {self.launch.device}>"

    def _grid(self, prediction: Any, encoded: Any) -> Grid:
        if prediction.answers is None:
            return self.task.decode(prediction.tokens[0], encoded)
        answer = prediction.answers[0]
        return np.zeros((0, 0), dtype=np.uint8) if answer is None else answer


def load_task(name: str, data: str | Path | None = None) -> Task:
    """The task called ``name``; ``data`` is a folder or file of the user's own puzzles. ``UnknownName`` if unknown."""
    return task_of(name, Path(data) if data else None)


def load_model(name: str, task: str = "", **choices: Any) -> LoadedModel:
    """The model of a card (``trm-nano.sudoku-4x4``), or the best card of an architecture for ``task``.

    Hub weights are fetched if they are not here. ``choices`` are those of an evaluation that concern the model:
    ``weights`` (a file instead of the zoo's), ``untrained``, ``device``, ``dtype``, ``seed``, ``settings``, ``data``,
    ``adapt``, ``adapt_steps``. ``BadInput`` or ``UnknownName`` for what does not exist or does not go together.
    """
    if not task:
        task = named(name).task if "." in name else ""
        if not task:
            raise BadInput(f"{name} is an architecture: say for which task, load_model({name!r}, task=...)")
    return _load(Choices(task, name, **_clean(choices)))


def evaluate(
    task: str,
    model: str | LoadedModel,
    *,
    out: str | Path | None = None,
    watchers: Watchers | None = None,
    **choices: Any,
) -> RunRecord:
    """Answer a task's puzzles with a model and score the answers; the record lies in ``out``, by default ``runs/<id>``.

    ``choices`` are the options of ``trm-harness eval`` by name: ``limit``, ``augment``, ``steps``, ``puzzles`` ...
    ``BadInput`` before anything is written if they cannot be met.
    """
    from trm_harness.evaluate.run import evaluate as run

    said = f"trm_harness.evaluate({task!r}, ...)"
    if isinstance(model, LoadedModel):
        wanted = replace(model.choices, task=task, **_clean(choices))
    else:
        wanted = Choices(task, model, **_clean(choices))
    _fetch(wanted)
    new = prepare(wanted, Path(out) if out else None, command=said)
    return run(new.task, new.model, new.plan, new.out, new.setting, watchers)


def train(task: str, model: str, recipe: Any = None, out: str | Path | None = None, **options: Any) -> dict[str, Any]:
    """Train an architecture on a task; what the run's ``train.json`` says, with ``out`` for where the weights lie.

    ``recipe`` is a file, a card's name or a :class:`~trm_harness.train.recipe.Recipe`; by default the shipped one.
    ``options`` go to :func:`trm_harness.train.session.train_model`: ``steps``, ``seed``, ``device``, ``trainer`` ...
    """
    from trm_harness.train.session import train_model

    return train_model(task, model, recipe, out, **options)


def _load(choices: Choices) -> LoadedModel:
    task = task_of(choices.task, choices.data)
    _fetch(choices)
    launch = launch_of(task, choices)
    if launch.views:
        task = task_of(choices.task, choices.data, views=launch.views)
    plan = InferencePlan(split=choices.split or task.spec.default_split, augment=choices.augment, seed=choices.seed)
    return LoadedModel(choices, task, launch, load(launch, task, plan, *weights_of(launch))[0])


def _fetch(choices: Choices) -> None:
    """Bring the weights of a hub card here, as `zoo pull` does."""
    if choices.weights or choices.untrained:
        return
    card = find(choices.model, choices.task, default())
    if card is not None and card.source.hub and card.sha256 and card.source.format == "safetensors":
        pull(card)


def _clean(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Choices with paths as paths and puzzles as a tuple. ``BadInput`` for one that an evaluation does not have."""
    known = Choices.__dataclass_fields__
    for name in choices:
        if name not in known:
            raise BadInput(f"unknown choice {name!r}: known are {', '.join(known)}")
    kept = dict(choices)
    kept |= {name: Path(kept[name]) for name in ("weights", "data") if kept.get(name)}
    if isinstance(kept.get("puzzles"), str):
        kept["puzzles"] = tuple(part.strip() for part in kept["puzzles"].split(","))
    return kept


def _puzzle(grid: GridLike, demonstrations: Sequence[Pair], name: str) -> Puzzle:
    pairs = tuple((as_grid(question), as_grid(answer)) for question, answer in demonstrations)
    if not name:
        # Told apart by what they show, so that nothing learnt for one is taken for another.
        shown = [side.tobytes() + bytes(side.shape) for pair in pairs for side in pair]
        name = f"own-{hashlib.sha256(b'/'.join(shown)).hexdigest()[:8]}"
    return Puzzle(name, name, as_grid(grid), None, pairs)


def as_grid(value: GridLike) -> Grid:
    """``uint8 [height, width]`` from an array, rows of numbers, or text: rows on lines or between slashes.

    In text a character is a cell: a digit, or ``.`` or ``_`` for 0; spaces count for nothing. ``BadInput`` for
    anything that is no grid.
    """
    if isinstance(value, str):
        rows = [re.sub(r"\s", "", row).replace(".", "0").replace("_", "0") for row in re.split(r"[\n/]", value.strip())]
        if not all(row.isdigit() for row in rows):
            raise BadInput("a grid in text has digits, and . for a blank, in rows on lines or between slashes")
        value = [[int(cell) for cell in row] for row in rows]
    try:
        grid = np.asarray(value)
    except ValueError:
        raise BadInput("the rows of a grid must be equally long") from None
    if grid.ndim != 2 or not grid.size or not np.issubdtype(grid.dtype, np.number):
        raise BadInput("a grid is rows of whole numbers, all rows equally long")
    if (grid != grid.astype(np.uint8)).any():
        raise BadInput("a grid holds whole numbers from 0 to 255")
    return grid.astype(np.uint8)

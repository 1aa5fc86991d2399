"""Models that learn a task from its demonstrations before they answer it: for puzzles that the weights never met.

``puzzle-embedding`` learns the identity of a task alone, the network frozen: rows of a published table, one for each
view, or the task's row of a factored one. ``full`` lets the network learn too. What is learnt for one task serves that
task only and is forgotten with it; it follows from the weights, the task, the views and the seed, so that a resumed
evaluation learns the same again.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from trm_harness.contracts import Task, TrainingRows
from trm_harness.errors import BadInput
from trm_harness.files.write import replacing
from trm_harness.nn.checkpoint import save_tensors
from trm_harness.nn.identities import BLANK, TableIdentities
from trm_harness.nn.model import TorchModel
from trm_harness.train.learner import Learner
from trm_harness.train.recipe import Recipe, Stage, with_settings
from trm_harness.types import BLANK_NAME, Batch, Cost, ModelFacts, Prediction, Puzzle

MODES = ("puzzle-embedding", "full")
BATCH = 8
"""Examples in a step of learning, and most puzzles that are answered at once: what an interruption may cost."""

KEPT = 1e9
"""Bytes of what was learnt that are remembered; the oldest is learnt again when it is needed."""

ROWS = "rows"
"""Name of the table's rows in a file of what was learnt."""

SETTINGS = (
    *("optimizer", "beta1", "beta2", "weight_decay", "table_weight_decay", "loss", "batch_size"),
    *("halt_exploration", "deep_share", "stay_right", "lr_end", "warmup", "supervision_steps"),
)
"""Settings of a recipe that learning a task has a use for."""


@dataclass(frozen=True)
class Adaptation:
    """How to learn: ``mode`` of :data:`MODES`, ``steps`` for each task, of which ``views`` views are learnt from.

    ``lr`` is the network's rate and ``table_lr`` that of the puzzle table's sign-SGD: by default the published ones.
    ``settings`` are those of :data:`SETTINGS` that shall be others than the published ones and a constant rate.
    """

    mode: str
    steps: int
    views: int = 1
    seed: int = 0
    lr: float = 1e-4
    table_lr: float = 1e-2
    settings: Mapping[str, Any] = field(default_factory=dict)

    def check(self, model: Any, task: Task) -> None:
        """``BadInput`` if ``model`` cannot learn so, or nothing tells it what to learn."""
        if self.mode not in MODES:
            raise BadInput(f"adapt '{self.mode}' does not exist: use {' or '.join(MODES)}")
        if self.steps < 1:
            raise BadInput(f"adapt-steps must be at least 1, not {self.steps}")
        if not 0 < self.lr < math.inf:
            raise BadInput(f"adapt-lr must be a number above 0, not {self.lr}")
        for name in self.settings:
            if name not in SETTINGS:
                raise BadInput(f"adapt-set {name} does not exist: use one of {', '.join(SETTINGS)}")
        if not task.spec.has_identities:
            raise BadInput(f"task {task.spec.id} shows no demonstrations that a model could adapt to: leave adapt out")
        if not isinstance(model, TorchModel):
            raise BadInput(f"model {model.spec.id} is no network of this harness: it cannot adapt")
        if self.mode == "puzzle-embedding" and model.network.table is None:
            raise BadInput(f"{model.spec.id} has no puzzle embedding to learn: use --adapt full")
        self.recipe(model.network.config.supervision_steps)

    def recipe(self, supervision_steps: int) -> Recipe:
        """How each task is learnt by a network of so many supervision steps. ``BadInput`` for a bad setting."""
        stage = Stage(self.steps, self.lr, self.lr, supervision_steps=supervision_steps)
        recipe = Recipe((stage,), batch_size=BATCH, table_lr=self.table_lr, ema_rate=0.0, seed=self.seed)
        given = [f"{name}={json.dumps(value)}" for name, value in self.settings.items()]
        return with_settings(recipe, given, option="--adapt-set")


@dataclass(frozen=True, eq=False)
class Learnt:
    """What was learnt for one task: rows of the puzzle table, and the network's parameters if they moved.

    ``rows`` float32 ``[views, dim]`` go with ``identities``; ``losses`` are those of every step.
    """

    identities: tuple[str, ...]
    rows: Tensor | None
    parameters: Mapping[str, Tensor]
    losses: tuple[float, ...]

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        tensors = [*self.parameters.values(), *([] if self.rows is None else [self.rows])]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class Demonstrations:
    """A task's demonstrations under some of its views, as a training source."""

    def __init__(
        self, task: Task, puzzle: Puzzle, views: Sequence[str], encoding: Mapping[str, Any], seed: int
    ) -> None:
        self._seed, self._group = seed, puzzle.group
        self._examples: dict[str, list[tuple[Any, Any, str]]] = defaultdict(list)
        for view in views:
            for number, (question, answer) in enumerate(puzzle.demonstrations):
                shown = Puzzle(f"{puzzle.group}/{number}", puzzle.group, question, answer, puzzle.demonstrations)
                self._add(task, task.transform(shown, view) if view else shown, view, encoding)
        total = sum(map(len, self._examples.values()))
        if not total:
            raise BadInput(f"{puzzle.group} shows no demonstration that can be learnt from")
        self.buckets = {name: len(found) / total for name, found in self._examples.items()}
        self.identities = tuple(dict.fromkeys(name for found in self._examples.values() for _, _, name in found))
        self.declaration: Mapping[str, Any] = {"demonstrations": "per-task"}

    def _add(self, task: Task, shown: Puzzle, view: str, encoding: Mapping[str, Any]) -> None:
        encoded = task.encode(shown.without_answer(), view, encoding)
        try:
            labels = task.labels(shown, encoded)
        except BadInput:
            # A canvas guessed from the question may be too small for the answer; the others have to do.
            return
        self._examples[str(encoded.length)].append((encoded, labels, encoded.identity))

    def draw(self, bucket: str, index: int, size: int) -> TrainingRows:
        """``size`` examples of one length: every one as often as any other, in the long run."""
        digest = hashlib.sha256(f"adapt\n{self._seed}\n{self._group}\n{bucket}\n{index}".encode()).digest()
        random = np.random.Generator(np.random.Philox(int.from_bytes(digest[:16], "big")))
        found = self._examples[bucket]
        picked = [found[place] for place in random.integers(len(found), size=size)]
        plain = np.arange(int(bucket), dtype=np.int32)
        return TrainingRows(
            np.stack([encoded.tokens for encoded, _, _ in picked]),
            np.stack([labels for _, labels, _ in picked]),
            np.stack([plain if encoded.positions is None else encoded.positions for encoded, _, _ in picked]),
            tuple(name for _, _, name in picked),
        )


@dataclass
class _Part:
    """The rows of a batch that belong to one task, and their state."""

    places: list[int]
    learnt: Learnt
    state: Any


class AdaptedModel:
    """Keeps :class:`~trm_harness.contracts.Model`: learns each task when it is first asked, then answers it."""

    def __init__(self, model: TorchModel, task: Task, adaptation: Adaptation) -> None:
        """``model`` is a trainable one. ``BadInput`` if it cannot adapt so."""
        adaptation.check(model, task)
        self.model, self.task, self.adaptation = model, task, adaptation
        self.spec, self.steps, self.encoding = model.spec, model.steps, model.encoding
        model.network.requires_grad_(adaptation.mode == "full")
        self._own = {name: value.detach().clone() for name, value in model.network.named_parameters()}
        self._known: OrderedDict[str, Learnt] = OrderedDict()
        self._shared: Path | None = None
        self._taken = 0

    def facts(self) -> ModelFacts:
        """Those of the weights before anything was learnt."""
        return self.model.facts()

    def usage(self) -> Mapping[str, float]:
        """Steps of learning so far, the repeated ones too."""
        return {"adaptation_steps": float(self._taken)}

    def cost(self, length: int) -> Cost:
        """Work of answering; that of learning is told by :meth:`usage`."""
        return replace(self.model.cost(length), most_puzzles=BATCH)

    def begin(self, batch: Batch) -> list[_Part]:
        """Learn the batch's tasks, and the starting state of each one's rows."""
        places: dict[str, list[int]] = defaultdict(list)
        for index, puzzle in enumerate(batch.puzzles):
            places[puzzle.group].append(index)
        parts = []
        for rows in places.values():
            learnt = self.learn(batch.puzzles[rows[0]])
            with self._installed(learnt):
                parts.append(_Part(rows, learnt, self.model.begin(batch.select(rows))))
        return parts

    def step(self, state: list[_Part]) -> tuple[list[_Part], Prediction]:
        """One more step of every part, under what was learnt for it."""
        parts, found = [], []
        for part in state:
            with self._installed(part.learnt):
                after, prediction = self.model.step(part.state)
            parts.append(_Part(part.places, part.learnt, after))
            found.append(prediction)
        order = np.argsort([place for part in state for place in part.places])
        tokens = np.concatenate([prediction.tokens for prediction in found])[order]
        return parts, Prediction(tokens, np.concatenate([prediction.halt for prediction in found])[order])

    def select(self, state: list[_Part], rows: Sequence[int]) -> list[_Part]:
        """The named rows, in their order."""
        wanted = {place: new for new, place in enumerate(rows)}
        parts = []
        for part in state:
            kept = [here for here, place in enumerate(part.places) if place in wanted]
            if kept:
                places = [wanted[part.places[here]] for here in kept]
                parts.append(_Part(places, part.learnt, self.model.select(part.state, kept)))
        return parts

    def perturb(self, state: list[_Part], scale: float, seeds: NDArray[np.uint64], step: int) -> list[_Part]:
        """Noise for every row by its own seed."""
        return [
            _Part(part.places, part.learnt, self.model.perturb(part.state, scale, seeds[part.places], step))
            for part in state
        ]

    def share(self, folder: Path) -> None:
        """Keep what is learnt in ``folder`` from now on, where other processes find it."""
        self._shared = folder

    def learn(self, puzzle: Puzzle) -> Learnt:
        """What the demonstrations of a puzzle's task teach; remembered for a while."""
        if puzzle.group not in self._known:
            self._known[puzzle.group] = self._found(puzzle) or self._kept(puzzle, self._learn(puzzle))
            while len(self._known) > 1 and sum(learnt.bytes for learnt in self._known.values()) > KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(puzzle.group)
        return self._known[puzzle.group]

    def _file(self, puzzle: Puzzle) -> Path | None:
        if self._shared is None:
            return None
        return self._shared / f"{hashlib.sha256(puzzle.group.encode()).hexdigest()}.safetensors"

    def _found(self, puzzle: Puzzle) -> Learnt | None:
        """What another process learnt of the puzzle's task."""
        file = self._file(puzzle)
        if file is None or not file.is_file():
            return None
        with safe_open(file, "pt") as kept:
            told = json.loads(kept.metadata()["learnt"])
            tensors = {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118 - no mapping
        return Learnt(tuple(told["identities"]), tensors.pop(ROWS, None), tensors, tuple(told["losses"]))

    def _kept(self, puzzle: Puzzle, learnt: Learnt) -> Learnt:
        """``learnt``, which other processes find from now on."""
        if file := self._file(puzzle):
            rows = {} if learnt.rows is None else {ROWS: learnt.rows}
            told = json.dumps({"identities": learnt.identities, "losses": learnt.losses})
            # Where it cannot be kept, because the disk is full, another process learns the task too.
            with suppress(BadInput, OSError, SafetensorError), replacing(file) as temporary:
                save_tensors({**learnt.parameters, **rows}, temporary, {"learnt": told})
        return learnt

    def learning_seconds(self, puzzle: Puzzle) -> float:
        """Seconds that learning the puzzle's task will take: up to four steps are timed, the others are like them."""
        taken, steps = self._taken, self.adaptation.steps
        tried = min(4, steps)
        start = time.perf_counter()
        self._learn(puzzle, 1)
        begun = time.perf_counter()
        self._learn(puzzle, tried)
        first, all_tried = begun - start, time.perf_counter() - begun
        self._taken = taken
        return first + (max(0.0, all_tried - first) / (tried - 1) * (steps - 1) if steps > 1 else 0.0)

    def _learn(self, puzzle: Puzzle, steps: int | None = None) -> Learnt:
        """What ``steps`` steps teach (all of them by default)."""
        wanted, network = self.adaptation, self.model.network
        steps = wanted.steps if steps is None else steps
        # The evaluator hands out transformed puzzles: the views are those of the task as it stands.
        bare = self._as_it_stands(puzzle)
        views = self.task.transforms(bare, wanted.views, wanted.seed)
        source = Demonstrations(self.task, bare, views, self.encoding, wanted.seed)
        recipe = wanted.recipe(network.config.supervision_steps)
        with torch.inference_mode(False), torch.enable_grad(), self._installed(None, source.identities) as rows:
            learner, taken = Learner(self.model, source, recipe), []
            before = None if network.table is None else network.table.weight.clone()
            for _ in range(steps):
                taken.append(learner.take())
                self._forget_others(before, rows)
            losses = [row["loss"] for row in learner.rows_of(taken)]
            learnt = None if before is None else network.table.weight[rows].clone()
            moved = dict(network.named_parameters()) if wanted.mode == "full" else {}
            parameters = {name: value.detach().clone() for name, value in moved.items()}
        self._taken += steps
        return Learnt(source.identities, learnt, parameters, tuple(losses))

    def _as_it_stands(self, puzzle: Puzzle) -> Puzzle:
        # A puzzle of the user's own is nowhere else: it comes as it stands.
        return self._by_group.get(puzzle.group, puzzle)

    @property
    def _by_group(self) -> Mapping[str, Puzzle]:
        if not hasattr(self, "_groups"):
            splits = [self.task.puzzles(split) for split in self.task.spec.splits]
            self._groups = {puzzle.group: puzzle.without_answer() for puzzles in splits for puzzle in puzzles}
        return self._groups

    def _forget_others(self, before: Tensor | None, rows: Tensor) -> None:
        """Undo what a step did to rows that other tasks share: turns and colours of a factored table, the blank."""
        if before is None:
            return
        table = self.model.network.table
        kept = table.weight[rows].clone()
        table.weight.copy_(before)
        table.weight[rows] = kept

    @contextmanager
    def _installed(self, learnt: Learnt | None, identities: Sequence[str] = ()) -> Iterator[Tensor]:
        """The network with a small table of one task's rows, ``learnt`` ones or fresh; the rows that are its own.

        A row that the weights lack begins as the blank one, which is what the network reads for a name it does not
        know: no steps of learning are no change.
        """
        network = self.model.network
        table, names = network.table, self.model.identities
        weight = None if table is None else table.weight
        identities = learnt.identities if learnt else identities
        rows = torch.zeros(0, dtype=torch.int64)
        try:
            if table is not None:
                rows = self._own_rows(identities)
                if learnt is not None and learnt.rows is not None:
                    table.weight[rows] = learnt.rows.to(table.weight.device)
            if learnt is not None:
                self._set(learnt.parameters)
            yield rows
        finally:
            if table is not None:
                table.weight, self.model.identities = weight, names
            if self.adaptation.mode == "full":
                self._set(self._own)

    def _own_rows(self, identities: Sequence[str]) -> Tensor:
        """Put a small table in place; the rows of it that belong to the task alone."""
        network, names = self.model.network, self.model.identities
        table = network.table
        if network.config.identities == "factored":
            table.weight = table.weight.clone()
            own = names.rows(identities)[:, 0]
            return torch.from_numpy(np.unique(own))
        found = torch.from_numpy(names.rows(["", *identities])[:, 0])
        found[0] = BLANK
        table.weight = table.weight[found].clone()
        self.model.identities = TableIdentities((BLANK_NAME, *identities))
        return torch.arange(1, len(identities) + 1)

    @torch.no_grad()
    def _set(self, parameters: Mapping[str, Tensor]) -> None:
        own = dict(self.model.network.named_parameters())
        for name, value in parameters.items():
            own[name].copy_(value)

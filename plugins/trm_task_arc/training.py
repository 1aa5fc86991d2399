"""Training examples drawn on the fly: pairs of demonstrations under random views and translations.

The 7 GB of arrays that the reference builds become a few hundred pairs and arithmetic; every draw depends on (seed,
bucket, index) alone. Canvases are as small as the pair allows (see ``canvas="fit"``), one bucket per side.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trm_harness.contracts import TrainingRows
from trm_harness.errors import BadInput
from trm_harness.types import BLANK_NAME
from trm_task_arc import encoding, transforms
from trm_task_arc.data import puzzles_of

if TYPE_CHECKING:
    from trm_harness.types import Grid, Puzzle
    from trm_task_arc.data import TaskList

DEFAULTS: Mapping[str, Any] = {
    "sides": [30],
    "evaluation_share": 0.5,
    "augment": True,
    "training_tests": True,
    "hold_out": 0,
    "views": 0,
}
"""``sides``: canvas sides to train on, ascending; tasks that need a larger one are left out. ``evaluation_share``:
share of draws from the evaluation tasks' demonstrations. ``training_tests``: train on the training tasks' test pairs
too, but for ``hold_out`` tasks of the training split: theirs are for validation. ``views``: 0 for a fresh random view
each time; else so many fixed ones a task besides the plain one (the published 1,000), each an identity of its own for a
table with a row per name. They are those that ``eval --augment`` asks for first at the training's seed, or with
``turns`` the turns and reflections in order. ``augment``: one of :data:`AUGMENTS`; ``true`` is ``all``, ``false``
``none``.
"""

AUGMENTS = {"none": (False, False), "turns": (True, False), "colours": (False, True), "all": (True, True)}
"""Whether examples are turned and reflected, and whether colours are renamed; all but ``none`` also move about."""


@dataclass(frozen=True, eq=False)
class Example:
    """A pair to train on: ``input`` and ``output`` grids of ``task``; ``held_out`` if its task tests with it."""

    task: str
    input: Grid
    output: Grid
    held_out: bool


def examples(split: str, found: TaskList) -> list[Example]:
    """Pairs of a split to train on: every pair of ``training``, of any other split the demonstrations only.

    So no answer of an evaluation task's test input is ever among them.
    """
    return [
        Example(task.id, pair.input, pair.output, held_out)
        for task in found.tasks
        for held_out, pairs in ((False, task.train), (True, task.test if split == "training" else ()))
        for pair in pairs
        if pair.output is not None
    ]


class ArcTraining:
    """The demonstrations of evaluation tasks and the pairs of training tasks: ``joint`` training as published.

    ``name`` is the task's id, ``tasks`` gives the task list of a split.
    """

    def __init__(
        self,
        name: str,
        tasks: Callable[[str], TaskList],
        seed: int,
        encoding: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> None:
        unknown = sorted(set(options) - set(DEFAULTS))
        if unknown:
            raise BadInput(f"ARC training: unknown option {unknown[0]!r}: known are {', '.join(DEFAULTS)}")
        self.options, self.seed = {**DEFAULTS, **options}, seed
        self._augment = _augment(self.options["augment"])
        if encoding.get("canvas", "full") == "full" and self.options["sides"] != [30]:
            raise BadInput('ARC training: sides other than 30 need the model\'s encoding to say canvas = "fit"')
        shares = {"training": 1 - self.options["evaluation_share"], "evaluation": self.options["evaluation_share"]}
        self._name, self._tasks = name, tasks
        self._held_out = self._hold_out()
        self._views: dict[str, list[str]] = {}
        self._pools: dict[str, dict[str, dict[str, list[Example]]]] = {}
        tests = self.options["training_tests"]
        for split in (split for split, share in shares.items() if share > 0):
            pairs = examples(split, tasks(split))
            kept = [e for e in pairs if not e.held_out or (tests and e.task not in self._held_out)]
            self._pools[split] = self._by_bucket(kept)
        self.shares = {name: shares[name] / sum(shares[n] for n in self._pools) for name in self._pools}
        self.buckets = self._bucket_shares()
        self.identities = self._identities()
        self.declaration = self._declare()

    def validation(self) -> tuple[str, Sequence[Puzzle]]:
        """Test inputs of the training tasks held out; their demonstrations are trained on, as evaluation's are."""
        if not self._held_out:
            raise BadInput("ARC training holds nothing out to validate on: set source.hold_out (say, 40) in the recipe")
        puzzles = [puzzle for puzzle in puzzles_of(self._tasks("training").tasks) if puzzle.group in self._held_out]
        return f"test inputs of {len(self._held_out)} held-out training tasks", puzzles

    def _hold_out(self) -> frozenset[str]:
        """The training tasks whose names hash lowest, of those that fit the canvases: the same for everybody."""
        count = int(self.options["hold_out"])
        pairs = examples("training", self._tasks("training")) if count else []
        fitting = [task for bucket in self._by_bucket(pairs).values() for task in bucket]
        if count < 0 or count > len(fitting):
            raise BadInput(f"ARC training: hold_out is {count}: use 0 to {len(fitting)}")
        return frozenset(sorted(fitting, key=lambda name: hashlib.sha256(name.encode()).digest())[:count])

    def _identities(self) -> tuple[str, ...]:
        """Names in the order of the table's rows: tasks, or with fixed views the blank and every view of every task."""
        tasks = sorted({t for pool in self._pools.values() for bucket in pool.values() for t in bucket})
        if not self.options["views"]:
            return tuple(tasks)
        return (BLANK_NAME, *(transforms.identity_of(task, view) for task in tasks for view in self._views_of(task)))

    def _views_of(self, task: str) -> list[str]:
        if task not in self._views:
            count = int(self.options["views"]) + 1
            if self._augment == "turns":
                self._views[task] = transforms.turns(count)
            else:
                self._views[task] = transforms.sample(task, count, self.seed)
        return self._views[task]

    def _view(self, random: np.random.Generator, task: str) -> str:
        """A random view of a task, of its fixed ones if it has them."""
        if self._augment == "none":
            return ""
        if not self.options["views"]:
            return transforms.random_view(random, *AUGMENTS[self._augment])
        views = self._views_of(task)
        return views[random.integers(len(views))]

    def draw(self, bucket: str, index: int, size: int) -> TrainingRows:
        """``size`` examples on canvases of side ``bucket``."""
        random = np.random.Generator(np.random.Philox(_key(self.seed, bucket, index)))
        side = int(bucket)
        rows = [self._one(random, bucket, side) for _ in range(size)]
        tokens, labels, identities = zip(*rows, strict=True)
        positions = np.tile(encoding.positions(side), (size, 1))
        return TrainingRows(np.stack(tokens), np.stack(labels), positions, identities)

    def _one(self, random: np.random.Generator, bucket: str, side: int) -> tuple[Any, Any, str]:
        pools = {name: pool[bucket] for name, pool in self._pools.items() if bucket in pool}
        shares = np.array([self.shares[name] * len(pool) / self._count(name) for name, pool in pools.items()])
        pool = list(pools.values())[random.choice(len(pools), p=shares / shares.sum())]
        examples = list(pool.values())[random.integers(len(pool))]
        example = examples[random.integers(len(examples))]
        view = self._view(random, example.task)
        question, answer = (transforms.apply(grid, view) for grid in (example.input, example.output))
        # Translation teaches that place does not matter; a share stays where evaluation will look.
        moved = self._augment != "none" and random.random() < 0.5
        row, column = encoding.random_offset(random, question, answer, side) if moved else (0, 0)
        return *encoding.encode_pair(question, answer, side, row, column), transforms.identity_of(example.task, view)

    def _count(self, pool: str) -> int:
        return sum(len(tasks) for tasks in self._pools[pool].values())

    def _by_bucket(self, examples: Sequence[Example]) -> dict[str, dict[str, list[Example]]]:
        """Examples by bucket and task; all of a task's pairs lie on the canvas that its largest one needs."""
        tasks: dict[str, list[Example]] = defaultdict(list)
        for example in examples:
            tasks[example.task].append(example)
        buckets: dict[str, dict[str, list[Example]]] = defaultdict(dict)
        for task, pairs in tasks.items():
            needed = max(encoding.pair_side(pair.input, pair.output) for pair in pairs)
            fitting = [side for side in self.options["sides"] if side >= needed]
            if fitting:
                buckets[str(fitting[0])][task] = pairs
        return buckets

    def _bucket_shares(self) -> dict[str, float]:
        totals: dict[str, float] = defaultdict(float)
        for name, pool in self._pools.items():
            for bucket, tasks in pool.items():
                totals[bucket] += self.shares[name] * len(tasks) / self._count(name)
        if not totals:
            raise BadInput(f"ARC training: no task fits a canvas of {max(self.options['sides'])} cells: raise sides")
        return {bucket: totals[bucket] / sum(totals.values()) for bucket in sorted(totals, key=int)}

    def _declare(self) -> dict[str, Any]:
        tests = self.options["training_tests"]
        used = {"training": "all pairs" if tests else "demonstrations only", "evaluation": "demonstrations only"}
        data = []
        for split in self._pools:
            found = self._tasks(split)
            what = f"{used[split]}, {self._count(split)} of {len(found.tasks)} tasks"
            if split == "training" and self._held_out and tests:
                what += f", without the test pairs of {len(self._held_out)}"
            where = {"task": self._name, "split": split, "use": used[split]}
            name = f"{found.name} {split} ({what})"
            data.append({"name": name, "version": found.version, "sha256": found.sha256, **where})
        joint = "evaluation" in self._pools
        return {"data": data, "demonstrations": "joint" if joint else "inductive"}


def _augment(value: Any) -> str:
    """The name of an augmentation; ``BadInput`` for what is none."""
    name = ("all" if value else "none") if isinstance(value, bool) else value
    if name not in AUGMENTS:
        raise BadInput(f"ARC training: augment is {value!r}: use true, false or one of {', '.join(AUGMENTS)}")
    return name


def _key(seed: int, bucket: str, index: int) -> int:
    digest = hashlib.sha256(f"arc training\n{seed}\n{bucket}\n{index}".encode()).digest()
    return int.from_bytes(digest[:16], "big")

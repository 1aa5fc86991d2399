"""Training examples drawn on the fly: pairs of demonstrations under random views and translations.

The 7 GB of arrays that the reference builds become a few hundred pairs and arithmetic; every draw depends on (seed,
bucket, index) alone. Canvases are as small as the pair allows (see ``canvas="fit"``), one bucket per side.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trm_harness.contracts import TrainingRows
from trm_harness.errors import BadInput
from trm_task_arc import encoding, transforms

if TYPE_CHECKING:
    from trm_task_arc.task import ArcTask, Example

DEFAULTS: Mapping[str, Any] = {
    "sides": [30],
    "evaluation_share": 0.5,
    "augment": True,
    "training_tests": True,
}
"""``sides``: canvas sides to train on, ascending; tasks that need a larger one are left out. ``evaluation_share``:
share of draws from the evaluation tasks' demonstrations. ``training_tests``: train on the training tasks' test pairs
too."""


class ArcTraining:
    """The demonstrations of evaluation tasks and the pairs of training tasks: ``joint`` training as published.

    No answer of an evaluation task's test input is ever read.
    """

    def __init__(self, task: ArcTask, seed: int, encoding: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        unknown = sorted(set(options) - set(DEFAULTS))
        if unknown:
            raise BadInput(f"ARC training: unknown option {unknown[0]!r}: known are {', '.join(DEFAULTS)}")
        self.options, self.seed = {**DEFAULTS, **options}, seed
        if encoding.get("canvas", "full") == "full" and self.options["sides"] != [30]:
            raise BadInput('ARC training: sides other than 30 need the model\'s encoding to say canvas = "fit"')
        shares = {"training": 1 - self.options["evaluation_share"], "evaluation": self.options["evaluation_share"]}
        self._pools: dict[str, dict[str, dict[str, list[Example]]]] = {}
        for name in shares:
            if shares[name] > 0:
                tests = self.options["training_tests"]
                self._pools[name] = self._by_bucket([e for e in task.examples(name) if tests or not e.held_out])
        self.shares = {name: shares[name] / sum(shares[n] for n in self._pools) for name in self._pools}
        self.buckets = self._bucket_shares()
        self.identities = tuple(sorted({t for pool in self._pools.values() for b in pool.values() for t in b}))
        self.declaration = self._declare(task)

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
        view = transforms.random_view(random) if self.options["augment"] else ""
        question, answer = (transforms.apply(grid, view) for grid in (example.input, example.output))
        # Translation teaches that place does not matter; a share stays where evaluation will look.
        moved = self.options["augment"] and random.random() < 0.5
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

    def _declare(self, task: ArcTask) -> dict[str, Any]:
        tests = self.options["training_tests"]
        used = {"training": "all pairs" if tests else "demonstrations only", "evaluation": "demonstrations only"}
        data = []
        for split in self._pools:
            found = task.tasks(split)
            what = f"{used[split]}, {self._count(split)} of {len(found.tasks)} tasks"
            where = {"task": task.spec.id, "split": split, "use": used[split]}
            name = f"{found.name} {split} ({what})"
            data.append({"name": name, "version": found.version, "sha256": found.sha256, **where})
        joint = "evaluation" in self._pools
        return {"data": data, "demonstrations": "joint" if joint else "inductive"}


def _key(seed: int, bucket: str, index: int) -> int:
    digest = hashlib.sha256(f"arc training\n{seed}\n{bucket}\n{index}".encode()).digest()
    return int.from_bytes(digest[:16], "big")

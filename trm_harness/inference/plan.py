"""What to ask of a model, in what order and in which batches. Everything here is fixed before the first answer.

The order of answers depends on the plan alone: first every puzzle as it stands, then puzzle by puzzle its other
views, cut into windows of a fixed number of views. A window is encoded when its turn comes, its views are sorted by
length (longest first, so that a run that does not fit fails at once) and batched with others of their length. So
memory does not grow with the number of puzzles, and the journal is always a prefix of one known sequence: to resume
is to count its lines.
"""

from __future__ import annotations

import difflib
import hashlib
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np

from trm_harness.contracts import Columnar, Model, Perturbable, Selective, Task
from trm_harness.errors import BadInput, PluginError, check_count
from trm_harness.record.describe import HALTLESS
from trm_harness.specs import TaskSpec
from trm_harness.types import IDENTITY, Batch, Encoded, Puzzle, plain

HALTS = ("full", "adaptive", "settled")
BAR = 0.5
"""Halting score above which training halts: what settled halting asks for where nobody chose better."""

SELECTS = ("mode", "halt", "oracle")
CACHED = 32
"""Most puzzles of a batch that is to stay in a processor's cache: more of them gain nothing."""
_NAMED_AT_ONCE = 4096
_Name = TypeVar("_Name")


@dataclass(frozen=True)
class InferencePlan:
    """The user's choices of how to ask; ``split`` is empty for the task's own.

    ``limit`` counts groups (ARC tasks) from the first on, ``sample`` counts groups that ``seed`` draws; ``puzzles``
    holds group or puzzle ids. ``augment`` is the number of views per puzzle with the identity among them (1: a single
    pass). ``attempts`` and ``steps`` default to the task's and the model's own, ``batch_size`` to what memory and cost
    allow. With ``halt`` adaptive a puzzle stops at the first step whose halting score (sigmoid of the logit) is above
    ``halt_above``; settled asks besides that its answer be that of the step before. Settled has a default bar.

    Every view is answered ``restarts`` times; with ``noise`` above 0 each of these trajectories has its own Gaussian
    noise of that standard deviation added to the latent before every supervision step, the first one too. ``select``
    says how the answers of all views and trajectories become one: ``mode`` (votes), ``halt`` (highest halting logit);
    ``oracle`` scores as ``mode`` does, with the upper bound beside it.
    """

    split: str = ""
    limit: int | None = None
    sample: int | None = None
    puzzles: tuple[str, ...] = ()
    seed: int = 0
    augment: int = 1
    attempts: int | None = None
    steps: int | None = None
    halt: str = "full"
    halt_above: float | None = None
    restarts: int = 1
    noise: float = 0.0
    select: str = "mode"
    batch_size: int | None = None

    def of(self, task: TaskSpec) -> InferencePlan:
        """The plan with the task's own split where it names none."""
        return self if self.split else replace(self, split=task.default_split)

    def only(self, *, limit: int | None = None, puzzles: tuple[str, ...] = ()) -> InferencePlan:
        """The plan on these puzzles of its split instead of its own choice of them."""
        return replace(self, limit=limit, sample=None, puzzles=puzzles)

    def options(self, steps: int) -> StepOptions:
        """How each batch is answered, in at most ``steps`` steps."""
        return StepOptions(steps, self.halt, BAR if self.halt_above is None else self.halt_above, self.noise)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            object.__setattr__(self, name, plain(value))

    def check(self, task: Task) -> None:
        """``BadInput`` for the first choice that cannot be met."""
        spec = task.spec
        if self.split not in spec.splits:
            raise BadInput(f"task {spec.id} has no split '{self.split}': use {' or '.join(spec.splits)}")
        for name in ("limit", "sample", "augment", "attempts", "steps", "restarts", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadInput(f"{name.replace('_', '-')} must be at least 1, not {value}")
        if self.sample and (self.limit or self.puzzles):
            raise BadInput("sample draws the puzzles: leave limit and puzzles out")
        if self.halt not in HALTS:
            raise BadInput(f"halt '{self.halt}' does not exist: use {' or '.join(HALTS)}")
        if self.halt_above is not None and not 0 < self.halt_above < 1:
            raise BadInput(f"halt-above must lie between 0 and 1, not be {self.halt_above:g}")
        if self.halt == "full" and self.halt_above not in (None, BAR):
            raise BadInput("halt-above says when a puzzle stops early: give halt settled or adaptive with it")
        if self.halt == "adaptive" and self.halt_above is None:
            raise BadInput("halt adaptive needs halt-above, chosen on validation; halt settled takes the card's own")
        if self.select not in SELECTS:
            raise BadInput(f"select '{self.select}' does not exist: use {' or '.join(SELECTS)}")
        if not 0 <= self.noise < math.inf:
            raise BadInput(f"noise must be a standard deviation from 0 up, not {self.noise:g}")
        for name in ("seed", "limit", "augment", "attempts", "steps", "restarts", "batch_size"):
            check_count(name.replace("_", "-"), getattr(self, name))

    def check_model(self, model: Model) -> None:
        """``BadInput`` if ``model`` has no use for noise, for restarts without it, or for a choice by halting."""
        if self.select == "halt" and model.spec.family in HALTLESS:
            raise BadInput(f"model {model.spec.id} has no halting head to choose by: use select mode")
        takes_noise = isinstance(model, Perturbable)
        if self.noise and not takes_noise:
            raise BadInput(f"model {model.spec.id} has no latent state that noise could be added to: leave noise out")
        if takes_noise and self.restarts > 1 and not self.noise:
            same = f"{self.restarts} restarts of model {model.spec.id} would all be the same"
            raise BadInput(f"without noise {same}: add noise (0.3, for example), or leave restarts out")


@dataclass(frozen=True)
class StepOptions:
    """How a batch is answered: at most ``steps`` supervision steps, and the plan's choices that concern them."""

    steps: int
    halt: str = "full"
    above: float = BAR
    noise: float = 0.0


@dataclass(frozen=True)
class Budget:
    """What one batch may take: bytes of memory, floating point operations (seconds of work), and puzzles.

    ``cache`` are the bytes that the widest array of a batch may have where arrays pay for leaving it (0: they do not).
    """

    memory: float
    flops: float
    puzzles: int
    cache: float = 0.0

    def batch_size(self, model: Model, length: int, steps: int) -> int:
        """Puzzles of ``length`` tokens in a batch."""
        cost = model.cost(length)
        work = cost.flops_per_step * steps
        fits = [self.puzzles]
        fits += [int(self.memory / cost.bytes_per_example)] if cost.bytes_per_example > 0 else []
        fits += [int(self.flops / work)] if work > 0 else []
        fits += [min(CACHED, int(self.cache / cost.widest_bytes))] if self.cache > 0 and cost.widest_bytes > 0 else []
        fits += [cost.most_puzzles] if cost.most_puzzles > 0 else []
        return max(1, min(fits))


@dataclass(frozen=True, eq=False)
class Selection:
    """The puzzles that take part, by their place in the split."""

    puzzles: Sequence[Puzzle]
    indices: Sequence[int]
    groups: int

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Puzzle]:
        return (self.puzzles[index] for index in self.indices)

    def __getitem__(self, place: int) -> Puzzle:
        return self.puzzles[self.indices[place]]

    @property
    def hidden(self) -> int:
        """Puzzles whose answer nobody here knows."""
        return 0 if isinstance(self.puzzles, Columnar) else sum(puzzle.answer is None for puzzle in self)

    def sha256(self) -> str:
        """Hash of the ids in order."""
        digest = hashlib.sha256()
        for names in self._names():
            digest.update("".join(f"{name}\n" for name in names).encode())
        return digest.hexdigest()

    def _names(self) -> Iterator[Sequence[str]]:
        """Ids in order, some at once."""
        if not isinstance(self.puzzles, Columnar):
            yield from ([puzzle.id] for puzzle in self)
            return
        for start in range(0, len(self), _NAMED_AT_ONCE):
            yield self.puzzles.names(self.indices[start : start + _NAMED_AT_ONCE])


class Item(NamedTuple):
    """One thing to answer: the puzzle at ``place`` of the selection, seen through ``transform``."""

    place: int
    view: int
    transform: str
    restart: int


@dataclass(frozen=True, eq=False)
class Asked:
    """An item as the model gets it: the transformed puzzle without its answer, and its encoding."""

    item: Item
    puzzle: Puzzle
    encoded: Encoded
    seed: int


@dataclass(frozen=True, eq=False)
class Work:
    """The whole sequence of items. ``views`` is one number for all puzzles, or one per place of the selection."""

    task: Task
    selection: Selection
    plan: InferencePlan
    views: int | tuple[int, ...]
    window: int
    budget: Budget

    @property
    def total(self) -> int:
        """Number of items."""
        views = self.views * len(self.selection) if isinstance(self.views, int) else sum(self.views)
        return views * self.plan.restarts

    def views_of(self, place: int) -> int:
        """Number of views of a puzzle."""
        return self.views if isinstance(self.views, int) else self.views[place]

    def batches(self, model: Model, steps: int, done: int = 0) -> Iterator[tuple[int, list[Asked]]]:
        """``(items before it, batch)`` for every batch that holds items past the first ``done``."""
        items, start = iter(self.items()), 0
        while window := list(islice(items, self.window)):
            if start + len(window) > done:
                yield from self._window(window, start, model, steps, done)
            start += len(window)

    def _window(
        self, items: list[Item], start: int, model: Model, steps: int, done: int
    ) -> Iterator[tuple[int, list[Asked]]]:
        for batch in batch_up([self._ask(item, model) for item in items], self._size(model, steps)):
            if start + len(batch) > done:
                yield start, batch
            start += len(batch)

    def _size(self, model: Model, steps: int) -> Callable[[int], int]:
        fixed = self.plan.batch_size
        return (lambda length: fixed) if fixed else (lambda length: self.budget.batch_size(model, length, steps))

    def items(self) -> Iterator[Item]:
        """Every puzzle as it stands, then the other views puzzle by puzzle."""
        restarts = range(self.plan.restarts)
        yield from (Item(index, 0, IDENTITY, restart) for index in range(len(self.selection)) for restart in restarts)
        for index, puzzle in enumerate(self.selection):
            if self.views_of(index) > 1:
                names = enumerate(views_of(self.task, self.plan, puzzle))
                yield from (Item(index, view, name, restart) for view, name in names if view for restart in restarts)

    def _ask(self, item: Item, model: Model) -> Asked:
        return as_asked(self.task, model, self.selection[item.place], item, self.plan.seed)


def as_asked(task: Task, model: Model, puzzle: Puzzle, item: Item, seed: int) -> Asked:
    """``item`` of ``puzzle`` as the model gets it: never with its answer."""
    bare = puzzle.without_answer()
    seen = task.transform(bare, item.transform) if item.transform else bare
    encoded = task.encode(seen, item.transform, model.encoding)
    return Asked(item, seen, encoded, item_seed(seed, bare.id, item.view, item.restart))


def batch_up(asked: Sequence[Asked], size: Callable[[int], int]) -> Iterator[list[Asked]]:
    """Batches of equal length, longest first; ``size(length)`` is their most."""
    lengths: dict[int, list[Asked]] = {}
    for one in asked:
        lengths.setdefault(one.encoded.length, []).append(one)
    for length in sorted(lengths, reverse=True):
        alike, most = lengths[length], size(length)
        yield from (alike[start : start + most] for start in range(0, len(alike), most))


def to_batch(asked: Sequence[Asked]) -> Batch:
    """The batch as a model reads it."""
    length = asked[0].encoded.length
    plain = np.arange(length, dtype=np.int32)
    encodings = [one.encoded for one in asked]
    return Batch(
        puzzles=tuple(one.puzzle for one in asked),
        tokens=np.stack([encoded.tokens for encoded in encodings]).astype(np.int32, copy=False),
        positions=np.stack([plain if encoded.positions is None else encoded.positions for encoded in encodings]),
        identities=tuple(encoded.identity for encoded in encodings),
        seeds=np.array([one.seed for one in asked], dtype=np.uint64),
    )


def item_seed(seed: int, puzzle: str, view: int, restart: int) -> int:
    """The 64-bit seed of one answer; the batch it travels in has no say."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{puzzle}\n{view}\n{restart}".encode()).digest()[:8], "big")


def select(task: Task, plan: InferencePlan) -> Selection:
    """The puzzles of ``plan``, which is checked first.

    ``BadInput`` for a choice that cannot be met, an id that the split does not have, an empty split, or a puzzle among
    them that the task cannot ask.
    """
    plan.check(task)
    puzzles = task.puzzles(plan.split)
    if isinstance(puzzles, Columnar) and len(puzzles) and not plan.puzzles:
        places = range(min(len(puzzles), plan.limit or len(puzzles)))
        places = sorted(drawn(places, plan.sample, plan.seed)) if plan.sample else places
        return Selection(puzzles, places, len(places))
    names = drawn({puzzle.group: None for puzzle in puzzles}, plan.sample, plan.seed) if plan.sample else plan.puzzles
    wanted, seen = set(names), set()
    groups: dict[str, None] = {}
    indices: list[int] = []
    for index, puzzle in enumerate(puzzles):
        named = wanted & {puzzle.id, puzzle.group}
        if wanted and not named:
            continue
        seen |= named
        if puzzle.group in groups or plan.limit is None or len(groups) < plan.limit:
            groups[puzzle.group] = None
            indices.append(index)
    _refuse_unknown(wanted - seen, puzzles, task.spec.id, plan.split)
    if not indices:
        raise BadInput(f"split '{plan.split}' of task {task.spec.id} holds no puzzles")
    if isinstance(task, Selective):
        complaint = next(filter(None, (task.unfit(puzzles[index]) for index in indices)), "")
        if complaint:
            raise BadInput(complaint)
    return Selection(puzzles, range(len(indices)) if len(indices) == len(puzzles) else indices, len(groups))


def drawn(names: Iterable[_Name], count: int, seed: int) -> list[_Name]:
    """``count`` of ``names`` (all of them if there are fewer), always the same for a seed."""
    every = list(names)
    return random.Random(seed).sample(every, min(count, len(every)))


def count_views(task: Task, selection: Selection, plan: InferencePlan) -> int | tuple[int, ...]:
    """Views per puzzle: one number if all have as many, as they have unless a puzzle runs out of transforms."""
    if plan.augment == 1:
        return 1
    counts = tuple(len(views_of(task, plan, puzzle)) for puzzle in selection)
    return counts[0] if len(set(counts)) == 1 else counts


def views_of(task: Task, plan: InferencePlan, puzzle: Puzzle) -> list[str]:
    """Names of the puzzle's transforms; ``PluginError`` if they repeat or do not begin with the identity."""
    names = task.transforms(puzzle, plan.augment, plan.seed)
    if not names or names[0] != IDENTITY or len(set(names)) != len(names):
        raise PluginError(f"task {task.spec.id}: transforms of {puzzle.id} repeat or do not begin with the identity")
    return names


def _refuse_unknown(unknown: Iterable[str], puzzles: Sequence[Puzzle], task: str, split: str) -> None:
    """``BadInput`` with the nearest known ids."""
    name = min(unknown, default=None)
    if name is None:
        return
    known = {name for puzzle in islice(puzzles, 50_000) for name in (puzzle.id, puzzle.group)}
    near = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {', '.join(near)}?" if near else f"`trm-harness tasks sample {task}` shows some"
    raise BadInput(f"task {task} has no puzzle or group '{name}' in split '{split}': {hint}")

"""The guard: were the evaluated puzzles among those that the weights were trained on? Found by content, never by name.

Declared training data is known by the hash that a task's source gives; its puzzles are compared pair by pair, an
(input, answer) pair being the same through all eight turns and reflections and any renaming of the symbols but 0.
What cannot be compared is reported as not checked, never as clean.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from trm_harness.contracts import Task
from trm_harness.errors import HarnessError
from trm_harness.fingerprint import canonical_fingerprint, grid_bytes
from trm_harness.record import CheckedEntry, ContaminationEntry, DataUse, TrainingEntry
from trm_harness.types import Grid, Puzzle

_Key, _Value = TypeVar("_Key"), TypeVar("_Value")

Pair = tuple[Grid, Grid]
"""A question and its answer."""

MOST_PUZZLES = 5_000
"""Declared data of more puzzles is not compared: an endless generated split would take longer than the evaluation."""

MOST_SHARED = 0.05
"""Share of a benchmark's evaluated split that may stand in its own training split, or be shown by its demonstrations,
and is the benchmark's doing (ARC-AGI-1: 2 and 7 of 419). More is a leak."""

MOST_IDS = 20
"""Ids that a record names."""

NOTHING_TRAINED = ContaminationEntry(status="nothing trained")
UNKNOWN = ContaminationEntry(status="unknown")


@runtime_checkable
class Versions(Protocol):
    """A task that knows more versions of its data than its own splits, besides :class:`~trm_harness.contracts.Task`."""

    def data_version(self, sha256: str) -> tuple[str, Sequence[Puzzle]] | None:
        """Name and puzzles of the version with that content hash, ``None`` if it is not at hand."""
        ...


@dataclass(frozen=True, eq=False)
class Asked:
    """The evaluation: the selected ``puzzles`` of a split of ``task``, which may have been given its own data."""

    task: Task
    split: str
    puzzles: Sequence[Puzzle]


@dataclass(frozen=True, eq=False)
class Found:
    """A declared body of data and its puzzles.

    ``own``: a split of the very benchmark that is evaluated; ``evaluated``: the very split.
    """

    task: str
    split: str
    puzzles: Sequence[Puzzle]
    own: bool = False
    evaluated: bool = False


@dataclass(frozen=True)
class Equal:
    """A puzzle that another set has too, there called ``others``.

    ``kind`` is ``puzzle`` (question, answer and demonstrations), ``pair`` (question and answer, other demonstrations)
    or ``demonstration`` (it demonstrates another puzzle there).
    """

    id: str
    group: str
    kind: str
    others: tuple[str, ...]


class Pairs:
    """(input, answer) pairs under names, to be found again under every symmetry."""

    def __init__(self, named: Iterable[tuple[str, Pair]]) -> None:
        self._named = list(named)
        self._canonical: dict[tuple[object, ...], dict[str, list[str]]] = {}

    def __len__(self) -> int:
        return len(self._named)

    def find(self, pair: Pair) -> tuple[str, ...]:
        """Names of the pairs equal to ``pair``: those equal cell by cell if there are any, else the symmetric ones."""
        verbatim = self._verbatim.get(_bytes(pair))
        if verbatim:
            return tuple(dict.fromkeys(verbatim))
        shape = outline(pair)
        if shape not in self._outlines:
            return ()
        if shape not in self._canonical:
            self._canonical[shape] = _grouped((canonical(other), name) for name, other in self._outlines[shape])
        return tuple(dict.fromkeys(self._canonical[shape].get(canonical(pair), ())))

    # Cheapest first: bytes, then what no symmetry changes, and canonical forms only where both cannot decide.
    @cached_property
    def _verbatim(self) -> dict[bytes, list[str]]:
        return _grouped((_bytes(pair), name) for name, pair in self._named)

    @cached_property
    def _outlines(self) -> dict[tuple[object, ...], list[tuple[str, Pair]]]:
        return _grouped((outline(pair), (name, pair)) for name, pair in self._named)


def check(
    asked: Asked, training: TrainingEntry, registered: Sequence[Task], allowed: bool = False
) -> ContaminationEntry:
    """Compare the evaluated puzzles with everything that ``training`` declares.

    ``registered`` are the tasks (with their published data) whose splits the declared hashes may name. A puzzle with a
    hidden answer is never scored and not compared.
    """
    if not training.data and not training.extra_data:
        return UNKNOWN
    known = [puzzle for puzzle in asked.puzzles if puzzle.answer is not None]
    checked: list[CheckedEntry] = []
    missing = [f"{name}: no hash is declared" for name in training.extra_data]
    seen: dict[bool, dict[str, str]] = {True: {}, False: {}}
    demonstrated: set[str] = set()
    for use in training.data:
        found = locate(use, asked, registered)
        compared = found if isinstance(found, str) else _compare(use, found, asked, known, training)
        if isinstance(compared, str):
            missing.append(f"{use.name}: {compared}")
            continue
        entry, hits, shown = compared
        checked.append(entry)
        demonstrated |= shown
        seen[entry.counted] |= hits
    return ContaminationEntry(
        status="contaminated" if seen[True] else "incomplete" if missing else "clean",
        allowed=bool(seen[True]) and allowed,
        compared=len(known),
        puzzles=len(seen[True]),
        groups=len(set(seen[True].values())),
        shared=len(seen[False].keys() - seen[True].keys()),
        demonstrated=len(demonstrated),
        ids=tuple(seen[True])[:MOST_IDS],
        checked=tuple(checked),
        not_checked=tuple(missing),
    )


def locate(use: DataUse, asked: Asked, registered: Sequence[Task]) -> Found | str:
    """The puzzles behind a declaration, or why they cannot be compared."""
    if not use.sha256:
        return "no hash is declared"
    # What the declaration names itself comes first, so that the usual case reads one split.
    tasks = [*registered, *([] if asked.task in registered else [asked.task])]
    hinted = sorted(tasks, key=lambda task: task.spec.id != (use.task or asked.task.spec.id))
    for task in hinted:
        for split in sorted(task.spec.splits, key=lambda name: name != use.split):
            if _sha256(task, split) == use.sha256:
                found = _in_split(task, split, asked, registered)
                return found if len(found.puzzles) <= MOST_PUZZLES else _too_many(found.puzzles)
    versions = (task.data_version(use.sha256) for task in hinted if isinstance(task, Versions))
    name, puzzles = next(filter(None, versions), ("", None))
    if puzzles is None:
        return "no data of that hash is on this machine"
    return Found(name, "", puzzles) if len(puzzles) <= MOST_PUZZLES else _too_many(puzzles)


def pairs_of(puzzles: Iterable[Puzzle], use: str = "all pairs") -> Iterator[tuple[str, Pair]]:
    """The pairs that training on ``puzzles`` sees, each under its puzzle's id.

    ``use`` is ``all pairs``, ``demonstrations only`` or ``test answers``. The demonstrations of a group come once.
    """
    shown: set[str] = set()
    for puzzle in puzzles:
        if puzzle.answer is not None and use != "demonstrations only":
            yield puzzle.id, (puzzle.input, puzzle.answer)
        if puzzle.group not in shown and use != "test answers":
            shown.add(puzzle.group)
            yield from ((puzzle.id, pair) for pair in puzzle.demonstrations)


def overlap(puzzles: Iterable[Puzzle], others: Sequence[Puzzle]) -> list[Equal]:
    """Every puzzle of ``puzzles`` whose question and answer are among the pairs of ``others``."""
    by_id = {other.id: other for other in others}
    asked = Pairs(pairs_of(others, "test answers"))
    shown = Pairs(pairs_of(others, "demonstrations only"))
    found: list[Equal] = []
    for puzzle in puzzles:
        pair = (puzzle.input, puzzle.answer)
        if puzzle.answer is None:
            continue
        if ids := asked.find(pair):
            whole = tuple(name for name in ids if _same(puzzle, by_id[name]))
            found.append(Equal(puzzle.id, puzzle.group, "puzzle" if whole else "pair", whole or ids))
        elif ids := shown.find(pair):
            found.append(Equal(puzzle.id, puzzle.group, "demonstration", ids))
    return found


def canonical(pair: Pair) -> str:
    """The same text for exactly the pairs that are equal under a turn or reflection and a renaming of symbols."""
    return canonical_fingerprint(Puzzle("", "", *pair))


def outline(pair: Pair) -> tuple[object, ...]:
    """What no symmetry changes, far cheaper than :func:`canonical`: unequal outlines mean unequal pairs.

    How many cells are not 0 in each row and column, up to order, and how often each symbol but 0 comes in question
    and answer, up to names.
    """
    columns, rows = (
        tuple(tuple(sorted(np.count_nonzero(grid, axis=axis).tolist())) for grid in pair) for axis in (0, 1)
    )
    counts = (np.bincount(grid.ravel(), minlength=256)[1:].tolist() for grid in pair)
    # A transposition makes columns of all rows, in both grids at once.
    return min((columns, rows), (rows, columns)), tuple(sorted(filter(any, zip(*counts, strict=True))))


def _compare(
    use: DataUse, found: Found, asked: Asked, known: Sequence[Puzzle], training: TrainingEntry
) -> tuple[CheckedEntry, dict[str, str], set[str]] | str:
    """The entry, the evaluated puzzles that were trained on (id to group), and groups whose demonstrations were.

    Text where the declaration leaves open whether any was.
    """
    joint = training.demonstrations in ("joint", "per-task")
    part = use.use or ("demonstrations only" if found.evaluated and joint else "all pairs")
    pairs = Pairs(pairs_of(found.puzzles, part))
    seen = {puzzle.id: puzzle.group for puzzle in known if pairs.find((puzzle.input, puzzle.answer))}
    shown = {puzzle.group for puzzle in known if any(pairs.find(pair) for pair in puzzle.demonstrations)}
    if 0 < len(seen) <= _left_out(use, found):
        return (
            f"has {len(seen):,} of the evaluated puzzles, but {use.puzzles:,} of its {len(found.puzzles):,} were "
            "trained on and the declaration does not say which"
        )
    entry = CheckedEntry(
        name=use.name,
        sha256=use.sha256,
        task=found.task,
        split=found.split,
        use=part,
        pairs=len(pairs),
        puzzles=len(seen),
        groups=len(set(seen.values())),
        demonstrated=len(shown),
        counted=bool(seen) and _counts(found, part, pairs, asked),
        ids=tuple(seen)[:MOST_IDS],
    )
    return entry, seen, shown


def _counts(found: Found, part: str, pairs: Pairs, asked: Asked) -> bool:
    """Whether what was found contaminates, or is the little that a benchmark's published parts share by themselves."""
    if not found.own or (found.evaluated and part != "demonstrations only"):
        return True
    # Over the whole split: of a selection of one, one shared puzzle would be all.
    whole = [puzzle for puzzle in asked.task.puzzles(asked.split) if puzzle.answer is not None]
    return sum(bool(pairs.find((puzzle.input, puzzle.answer))) for puzzle in whole) > MOST_SHARED * len(whole)


def _left_out(use: DataUse, found: Found) -> int:
    """Puzzles of the data that were not trained on. Some declare puzzles, some groups; neither means all of it."""
    groups = len({puzzle.group for puzzle in found.puzzles})
    return 0 if use.puzzles in (None, groups) else max(0, len(found.puzzles) - use.puzzles)


def _in_split(task: Task, split: str, asked: Asked, registered: Sequence[Task]) -> Found:
    evaluated = _sha256(task, split) == _sha256(asked.task, asked.split)
    # Only published data may share puzzles between its splits unpunished: a user's own files are checked in full.
    published = task in registered and asked.split in task.spec.splits
    own = published and _sha256(task, asked.split) == _sha256(asked.task, asked.split)
    return Found(task.spec.id, split, task.puzzles(split), own or evaluated, evaluated)


def _sha256(task: Task, split: str) -> str:
    """Content hash of a split, empty if it cannot be had here."""
    try:
        return task.source(split).sha256
    except HarnessError:
        return ""


def _too_many(puzzles: Sequence[Puzzle]) -> str:
    return f"{len(puzzles):,} puzzles, more than the {MOST_PUZZLES:,} that are compared"


def _same(puzzle: Puzzle, other: Puzzle) -> bool:
    """Whether two puzzles are equal up to symmetry and the order of their demonstrations."""
    one, two = (Counter(map(_bytes, item.demonstrations)) for item in (puzzle, other))
    same_pair = _bytes((puzzle.input, puzzle.answer)) == _bytes((other.input, other.answer))
    return (same_pair and one == two) or canonical_fingerprint(puzzle) == canonical_fingerprint(other)


def _bytes(pair: Pair) -> bytes:
    return grid_bytes(pair[0]) + grid_bytes(pair[1])


def _grouped(items: Iterable[tuple[_Key, _Value]]) -> dict[_Key, list[_Value]]:
    grouped: dict[_Key, list[_Value]] = defaultdict(list)
    for key, value in items:
        grouped[key].append(value)
    return dict(grouped)

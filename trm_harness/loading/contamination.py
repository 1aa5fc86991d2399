"""The guard: were the evaluated puzzles among those that the weights were trained on? Found by content, never by name.

Declared training data is known by the hash that a task's source gives; its puzzles are compared pair by pair, an
(input, answer) pair being the same through all eight turns and reflections and any renaming of the symbols but 0.
What cannot be compared is reported as not checked, never as clean.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from trm_harness.contracts import Fingerprinted, Task, Versions
from trm_harness.errors import HarnessError
from trm_harness.fingerprint import canonical_fingerprint, grid_bytes
from trm_harness.lazy import Lazy
from trm_harness.loading.fingerprints import Described, Fingerprints, Pair, drawn, kept, keys_of, save
from trm_harness.record import CheckedEntry, ContaminationEntry, DataUse, TrainingEntry
from trm_harness.specs import TaskSpec
from trm_harness.types import Puzzle

_Key, _Value = TypeVar("_Key"), TypeVar("_Value")

MOST_PUZZLES = 100_000
"""Declared data of more puzzles is not compared. Drawing so many takes minutes, once (:mod:`.fingerprints`)."""

MOST_SHARED = 0.05
"""Share of a benchmark's evaluated split that may stand in its own training split, or be shown by its demonstrations,
and is the benchmark's doing (ARC-AGI-1: 2 and 7 of 419). More is a leak."""

MOST_IDS = 20
"""Ids that a record names."""

NOTHING_TRAINED = ContaminationEntry(status="nothing trained")
UNKNOWN = ContaminationEntry(status="unknown")


@dataclass(frozen=True, eq=False)
class Asked:
    """The evaluation: the selected ``puzzles`` of a split of ``task``, which may have been given its own data."""

    task: Task
    split: str
    puzzles: Sequence[Puzzle]


@dataclass(frozen=True, eq=False)
class Found:
    """A declared body of data and its puzzles.

    ``own``: a split of the very benchmark that is evaluated; ``evaluated``: the very split. ``version``: the task's.
    ``shipped``: a file of its fingerprints. ``other_size``: of a task that can share no puzzle with the evaluated one.
    """

    task: str
    split: str
    puzzles: Sequence[Puzzle]
    own: bool = False
    evaluated: bool = False
    version: int = 0
    shipped: Path | None = None
    other_size: bool = False


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

    def __len__(self) -> int:
        return len(self._named)

    def find(self, pairs: Sequence[Pair]) -> list[tuple[str, ...]]:
        """For each of ``pairs`` the names of the equal ones: equal cell by cell if there are any, else symmetric."""
        return [self._equal(pair, key) for pair, key in zip(pairs, keys_of(pairs).tolist(), strict=True)]

    def _equal(self, pair: Pair, key: int) -> tuple[str, ...]:
        """Names of the pairs equal to ``pair``, whose key is ``key``. Canonical forms only where no bytes agree."""
        alike = [named for place in self._places.get(key, ()) for named in self._at(place)]
        equal = [name for name, other in alike if _bytes(other) == _bytes(pair)]
        if alike and not equal:
            form = canonical(pair)
            equal = [name for name, other in alike if canonical(other) == form]
        return tuple(dict.fromkeys(equal))

    def _at(self, place: int) -> Sequence[tuple[str, Pair]]:
        return self._named[place : place + 1]

    @cached_property
    def _places(self) -> dict[int, list[int]]:
        return _grouped(zip(self._keys().tolist(), range(len(self)), strict=True))

    def _keys(self) -> NDArray[np.uint32]:
        return keys_of([pair for _, pair in self._named])


class DrawnPairs(Pairs):
    """Pairs of ``puzzles`` that are drawn when looked at: known by their fingerprints, drawn again where these agree.

    ``use`` as in :func:`pairs_of`.
    """

    def __init__(self, puzzles: Sequence[Puzzle], use: str, known: Fingerprints) -> None:
        self._puzzles, self._use, self._known = puzzles, use, known

    def __len__(self) -> int:
        return len(self._known.keys)

    def _at(self, place: int) -> Sequence[tuple[str, Pair]]:
        return list(pairs_of([self._puzzles[int(self._known.places[place])]], self._use))

    def _keys(self) -> NDArray[np.uint32]:
        return self._known.keys


class StrangePairs(Pairs):
    """``count`` pairs of another size than whatever is looked up: none is ever found, so none has to be drawn."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def find(self, pairs: Sequence[Pair]) -> list[tuple[str, ...]]:
        """Nothing for each of ``pairs``."""
        return [() for _ in pairs]


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
        not_checked=tuple(dict.fromkeys(missing)),
    )


def locate(use: DataUse, asked: Asked, registered: Sequence[Task]) -> Found | str:
    """The puzzles behind a declaration, or why they cannot be compared."""
    if not use.sha256:
        return "no hash is declared"
    # What the declaration names itself comes first, so that the usual case reads one split.
    tasks = [*registered, *([] if asked.task in registered else [asked.task])]
    named = named_task(use)
    hint = named if named in {task.spec.id for task in tasks} else asked.task.spec.id
    hinted = sorted(tasks, key=lambda task: task.spec.id != hint)
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


def named_task(use: DataUse) -> str:
    """The task that a declaration names: outright, or as the first word of its name (``maze-8x8/train``)."""
    return use.task or re.split(r"[/\s]", use.name, maxsplit=1)[0]


def of_one_size(one: TaskSpec, other: TaskSpec) -> bool:
    """Whether two tasks could share a puzzle: of one family, with as many symbols and tokens."""
    return (one.family, one.vocab_size, one.seq_len) == (other.family, other.vocab_size, other.seq_len)


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


def write_fingerprints(task: Task, split: str, path: Path) -> None:
    """Draw ``split`` of ``task`` and write the fingerprints of all its pairs to ``path``, for it to bring along."""
    puzzles, part = task.puzzles(split), "all pairs"
    about = Described(task.spec.id, task.spec.version, task.source(split).sha256, len(puzzles), part)
    save(path, about, drawn(puzzles, lambda some: pairs_of(some, part)))


def overlap(puzzles: Iterable[Puzzle], others: Sequence[Puzzle]) -> list[Equal]:
    """Every puzzle of ``puzzles`` whose question and answer are among the pairs of ``others``."""
    by_id = {other.id: other for other in others}
    asked = Pairs(pairs_of(others, "test answers"))
    shown = Pairs(pairs_of(others, "demonstrations only"))
    found: list[Equal] = []
    known = [puzzle for puzzle in puzzles if puzzle.answer is not None]
    tests = _tests(known)
    for puzzle, ids, shown_by in zip(known, asked.find(tests), shown.find(tests), strict=True):
        if ids:
            whole = tuple(name for name in ids if _same(puzzle, by_id[name]))
            found.append(Equal(puzzle.id, puzzle.group, "puzzle" if whole else "pair", whole or ids))
        elif shown_by:
            found.append(Equal(puzzle.id, puzzle.group, "demonstration", shown_by))
    return found


def canonical(pair: Pair) -> str:
    """The same text for exactly the pairs that are equal under a turn or reflection and a renaming of symbols."""
    return canonical_fingerprint(Puzzle("", "", *pair))


def _compare(
    use: DataUse, found: Found, asked: Asked, known: Sequence[Puzzle], training: TrainingEntry
) -> tuple[CheckedEntry, dict[str, str], set[str]] | str:
    """The entry, the evaluated puzzles that were trained on (id to group), and groups whose demonstrations were.

    Text where the declaration leaves open whether any was.
    """
    joint = training.demonstrations in ("joint", "per-task")
    part = use.use or ("demonstrations only" if found.evaluated and joint else "all pairs")
    pairs = _pairs(use, found, part)
    seen = {puzzle.id: puzzle.group for puzzle, equal in zip(known, pairs.find(_tests(known)), strict=True) if equal}
    demonstrations = [(puzzle.group, pair) for puzzle in known for pair in puzzle.demonstrations]
    equals = pairs.find([pair for _, pair in demonstrations])
    shown = {group for (group, _), equal in zip(demonstrations, equals, strict=True) if equal}
    if seen and len(seen) <= _left_out(use, found):
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
    return sum(map(bool, pairs.find(_tests(whole)))) > MOST_SHARED * len(whole)


def _left_out(use: DataUse, found: Found) -> int:
    """Puzzles of the data that were not trained on. Some declare puzzles, some groups; neither means all of it."""
    if use.puzzles is None or use.puzzles >= len(found.puzzles):
        return 0
    groups = len({puzzle.group for puzzle in found.puzzles})
    return 0 if use.puzzles == groups else len(found.puzzles) - use.puzzles


def _pairs(use: DataUse, found: Found, part: str) -> Pairs:
    """The pairs that ``part`` of the found puzzles is; those of a drawn split by the fingerprints that are kept."""
    if not isinstance(found.puzzles, Lazy):
        return Pairs(pairs_of(found.puzzles, part))
    if found.other_size:
        return StrangePairs(len(found.puzzles))
    about = Described(found.task, found.version, use.sha256, len(found.puzzles), part)
    known = kept(about, found.shipped, lambda: drawn(found.puzzles, lambda some: pairs_of(some, part)))
    return DrawnPairs(found.puzzles, part, known)


def _tests(puzzles: Iterable[Puzzle]) -> list[Pair]:
    """Question and answer of each of ``puzzles``, whose answers are known."""
    return [(puzzle.input, puzzle.answer) for puzzle in puzzles]


def _in_split(task: Task, split: str, asked: Asked, registered: Sequence[Task]) -> Found:
    evaluated = _sha256(task, split) == _sha256(asked.task, asked.split)
    # Only published data may share puzzles between its splits unpunished: a user's own files are checked in full.
    published = task in registered and asked.split in task.spec.splits
    own = published and _sha256(task, asked.split) == _sha256(asked.task, asked.split)
    shipped = task.fingerprints(split) if isinstance(task, Fingerprinted) else None
    puzzles = task.puzzles(split)
    sides = [_side(spec) for spec in (task.spec, asked.task.spec)]
    other_size = 0 not in sides and sides[0] != sides[1]
    return Found(task.spec.id, split, puzzles, own or evaluated, evaluated, task.spec.version, shipped, other_size)


def _side(spec: TaskSpec) -> int:
    """Side of the square grids that all of a task's puzzles are; 0 if they may be of any size."""
    side = spec.options.get("size", 0)
    return side if isinstance(side, int) and side * side == spec.seq_len else 0


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

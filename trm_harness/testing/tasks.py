"""Laws of tasks: encodings, symmetries, scoring, splits, files and training draws."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from trm_harness.contracts import Canonical, Task
from trm_harness.errors import HarnessError
from trm_harness.fingerprint import canonical_fingerprint, puzzle_sha256
from trm_harness.relations import relations
from trm_harness.scoring.rules import RULES
from trm_harness.testing.laws import NotApplicable, demand, law
from trm_harness.testing.process import portrait, portrait_elsewhere
from trm_harness.testing.subjects import TaskSubject, needing_data
from trm_harness.types import IDENTITY, IGNORE_LABEL, Grid, Puzzle

VIEWS = 6
"""Views of each puzzle that laws look through."""

MOST_SHARED = 0.05
"""Share of the evaluated puzzles that a published benchmark may have in its own training split."""

WHOLE_GROUP = 64
"""A symmetry group of up to so many elements is gone through whole."""

TRAINING_SAMPLE, HELD_OUT_SAMPLE = 64, 300
"""Puzzles compared between splits."""


@law("task")
def spec_is_complete(subject: TaskSubject) -> None:
    """The spec names splits, scoring rules and a headline that exist, and says what the task is."""
    spec = subject.spec
    demand(bool(spec.title and spec.description), "title or description is empty", "describe the task in its spec")
    demand(
        spec.default_split in spec.splits,
        f"default_split {spec.default_split!r} is none of {spec.splits}",
        "name one of the splits",
    )
    unknown = [rule for rule in spec.rules if rule not in RULES]
    demand(
        bool(spec.rules) and not unknown,
        f"scoring rules {spec.rules} are empty or unknown",
        f"use some of {', '.join(RULES)}",
    )
    demand(spec.version >= 1 and spec.attempts >= 1, "version or attempts is below 1", "count both from 1")
    demand(subject.task.spec == spec, "task.spec is not the spec that it was made from", "keep the spec you are given")


@law("task")
def relations_are_those_of_the_board(subject: TaskSubject) -> None:
    """Declared relations exist on a board of the spec's size and leave nobody out; declared symbols are tokens."""
    spec = subject.spec
    first, count = spec.symbols
    demand(
        first >= 0 and count >= 0 and first + count <= spec.vocab_size,
        f"symbols {spec.symbols} are not among the {spec.vocab_size} tokens",
        "give the first token that may be renamed and how many there are",
    )
    if not spec.relations:
        raise NotApplicable("the task declares no relations")
    found = relations(spec.relations, spec.seq_len)
    apart = int((~np.any([relation.hears.any(axis=0) for relation in found], axis=0)).sum())
    demand(apart == 0, f"{apart} cells hear nobody", "declare relations that reach every cell")


@law("task")
def puzzles_are_well_formed(subject: TaskSubject) -> None:
    """Grids are 2-D uint8, ids unique, and the source counts what is there."""
    for split in subject.spec.splits:
        puzzles = subject.puzzles(split)
        source = subject.task.source(split)
        demand(len(puzzles) > 0, f"split {split} has no puzzles", "bundle some, or leave the split out of the spec")
        demand(
            source.n_puzzles == len(puzzles),
            f"source({split!r}) counts {source.n_puzzles} puzzles, there are {len(puzzles)}",
            "count them in source()",
        )
        demand(
            bool(re.fullmatch(r"[0-9a-f]{64}", source.sha256)),
            f"source({split!r}).sha256 is {source.sha256!r}",
            "give 64 hex digits, for example trm_harness.fingerprint.dataset_sha256(puzzles)",
        )
        found = subject.sample(split)
        demand(len({p.id for p in found}) == len(found), f"ids repeat in {split}", "give every puzzle its own id")
        for puzzle in found:
            for grid in (puzzle.input, puzzle.answer):
                good = isinstance(grid, np.ndarray) and grid.ndim == 2 and grid.dtype == np.uint8
                demand(good, f"{puzzle.id} holds a grid that is no 2-D uint8 array", "convert grids with np.uint8")


@law("task")
def decode_undoes_encode(subject: TaskSubject) -> None:
    """Decoding the labels of an answer gives that answer, through every view."""
    task = subject.task
    for puzzle in subject.some():
        for name in task.transforms(puzzle, VIEWS, 0):
            seen = task.transform(puzzle, name)
            encoded = task.encode(seen, name, {})
            labels = task.labels(seen, encoded)
            # Cells without a loss are what a network may leave as padding.
            grid = task.decode(np.where(labels == IGNORE_LABEL, 0, labels).astype(np.int32), encoded)
            demand(
                _equal(grid, seen.answer),
                f"decode(labels(x)) is not the answer of {puzzle.id} seen through {name or 'the identity'!r}",
                "let decode() undo what encode() and labels() do, using encoded.layout",
            )


@law("task")
def tokens_fit_the_spec(subject: TaskSubject) -> None:
    """Tokens and labels stay below vocab_size, lengths and positions within seq_len."""
    task, spec = subject.task, subject.spec
    for puzzle in subject.sample():
        encoded = task.encode(puzzle, IDENTITY, {})
        labels = task.labels(puzzle, encoded)
        places = np.arange(encoded.length) if encoded.positions is None else encoded.positions
        for what, values, top in (
            ("tokens", encoded.tokens, spec.vocab_size),
            ("labels", labels[labels != IGNORE_LABEL], spec.vocab_size),
            ("positions", places, spec.seq_len),
        ):
            good = values.size == 0 or (int(values.min()) >= 0 and int(values.max()) < top)
            demand(good, f"{what} of {puzzle.id} are not all in 0..{top - 1}", "correct the encoding, or the spec")
        demand(
            encoded.tokens.dtype == labels.dtype == np.int32 and labels.shape == encoded.tokens.shape,
            f"tokens and labels of {puzzle.id} are not int32 of one shape",
            "return np.int32 arrays [length] from encode() and labels()",
        )
        demand(
            bool((labels != IGNORE_LABEL).any()), f"no label of {puzzle.id} takes a loss", "label the answer's cells"
        )


@law("task")
def encode_never_reads_the_answer(subject: TaskSubject) -> None:
    """A puzzle whose answer is hidden, or wrong, is encoded alike."""
    task = subject.task
    for puzzle in subject.some():
        full = task.encode(puzzle, IDENTITY, {})
        for other in (puzzle.without_answer(), replace(puzzle, answer=_damaged(puzzle, 0))):
            seen = task.encode(other, IDENTITY, {})
            demand(
                np.array_equal(full.tokens, seen.tokens) and full.layout == seen.layout,
                f"encode({puzzle.id}) depends on the answer",
                "encode the input and the demonstrations alone: everything else leaks",
            )


@law("task")
def different_questions_read_differently(subject: TaskSubject) -> None:
    """Two puzzles with different inputs never have the same tokens and identity."""
    task = subject.task
    known: dict[bytes, Puzzle] = {}
    for puzzle in subject.sample(subject.spec.default_split, 200):
        encoded = task.encode(puzzle, IDENTITY, {})
        key = encoded.tokens.tobytes() + encoded.identity.encode()
        twin = known.setdefault(key, puzzle)
        demand(
            _equal(twin.input, puzzle.input),
            f"{twin.id} and {puzzle.id} differ and read the same",
            "encode everything that the answer depends on",
        )


@law("task")
def views_are_named_stably(subject: TaskSubject) -> None:
    """View names are distinct, the identity first, a smaller count a prefix, the same when asked again."""
    task = subject.task
    for puzzle in subject.some(4):
        names = list(task.transforms(puzzle, VIEWS, 0))
        demand(names[:1] == [IDENTITY], f"the first view of {puzzle.id} is {names[:1]}", 'put "" first in transforms()')
        demand(len(set(names)) == len(names), f"views of {puzzle.id} repeat: {names}", "return distinct names")
        demand(
            list(task.transforms(puzzle, VIEWS // 2, 0)) == names[: VIEWS // 2],
            f"fewer views of {puzzle.id} are not the first of more",
            "draw names one by one from (group, seed), so that a smaller count is a prefix",
        )
        again = list(subject.make(subject.data).transforms(puzzle.without_answer(), VIEWS, 0))
        demand(again == names, f"views of {puzzle.id} change", "let names depend on (puzzle.group, count, seed) alone")


@law("task")
def invert_undoes_transform(subject: TaskSubject) -> None:
    """An answer seen through a view and inverted is the answer; id and group stay; the puzzle given is not touched."""
    task = subject.task
    for puzzle in subject.some():
        before = puzzle_sha256(puzzle)
        for name in task.transforms(puzzle, VIEWS, 3):
            seen = task.transform(puzzle, name)
            demand(
                _equal(task.invert(seen.answer, name), puzzle.answer),
                f"invert(transform(x)) is not the answer of {puzzle.id} through {name!r}",
                "undo in invert() exactly what transform() does to the answer, in the opposite order",
            )
            demand(
                (seen.id, seen.group) == (puzzle.id, puzzle.group),
                f"{name!r} renames {puzzle.id} to {seen.id}",
                "keep id and group in transform()",
            )
        demand(puzzle_sha256(puzzle) == before, f"transform() changes {puzzle.id} itself", "copy before writing")


@law("task")
def right_answer_scores_one(subject: TaskSubject) -> None:
    """The puzzle's own answer has exact 1, and every measure lies in 0..1."""
    for puzzle in subject.sample():
        found = subject.task.measures(puzzle, puzzle.answer.copy())
        demand("exact" in found, f"measures({puzzle.id}) has no 'exact'", "always return exact")
        demand(found["exact"] == 1.0, f"the answer of {puzzle.id} scores {found['exact']}", "score it 1.0")
        wrong = {name: value for name, value in found.items() if not 0 <= value <= 1}
        demand(not wrong, f"measures of {puzzle.id} leave 0..1: {wrong}", "scale every measure into 0..1")


@law("task")
def damaged_answer_scores_less(subject: TaskSubject) -> None:
    """One changed cell, another shape, an empty grid or no answer at all: exact is 0, and nothing raises."""
    for puzzle in subject.some():
        cells = {index * puzzle.answer.size // 5 for index in range(5)}
        damaged: list[Grid | None] = [_damaged(puzzle, cell) for cell in sorted(cells)]
        others = [None, np.zeros((0, 0), np.uint8), np.zeros((1, 1), np.uint8), np.pad(puzzle.answer, ((0, 1), (0, 0)))]
        for answer in [*damaged, *others]:
            if answer is not None and _equal(answer, puzzle.answer):
                continue
            found = subject.task.measures(puzzle, answer).get("exact")
            demand(
                found == 0.0,
                f"a wrong answer to {puzzle.id} ({_told(answer)}) scores exact {found}",
                "compare every cell and the shape; give 0.0 for None",
            )


@law("task")
def scores_see_no_symmetry(subject: TaskSubject) -> None:
    """Question and answer moved by one symmetry score as they did, right or wrong."""
    task = subject.task
    for puzzle in subject.some(8):
        for name in task.transforms(puzzle, VIEWS, 5):
            for answer in (puzzle.answer, _damaged(puzzle, puzzle.answer.size // 2)):
                seen = task.transform(puzzle, name)
                moved = task.transform(replace(puzzle, answer=answer), name).answer
                still, now = task.measures(puzzle, answer), task.measures(seen, moved)
                demand(
                    still.keys() == now.keys() and all(abs(still[key] - now[key]) < 1e-9 for key in still),
                    f"{puzzle.id} scores {still}, seen through {name!r} {now}",
                    "let measures() follow the rules only, or take the view out of transforms()",
                )


@law("task")
def a_whole_evaluation_scores_one(subject: TaskSubject) -> None:
    """The evaluator, given the right answers through several views, scores 1; with one cell wrong it scores 0."""
    from trm_harness.evaluate import evaluate
    from trm_harness.inference import InferencePlan
    from trm_harness.testing.oracle import Oracle

    split = subject.spec.default_split
    chosen = {puzzle.group for puzzle in subject.sample(split, 3)}
    members = [puzzle for puzzle in subject.puzzles(split) if puzzle.group in chosen]
    if not members or any(puzzle.answer is None for puzzle in members):
        raise NotApplicable(f"answers of {split} are hidden")
    plan = InferencePlan(split=split, puzzles=tuple(sorted(chosen)), augment=3)
    for damage, wanted in ((False, 1.0), (True, 0.0)):
        with tempfile.TemporaryDirectory() as folder:
            record = evaluate(subject.task, Oracle(subject.task, members, damage), plan, Path(folder) / "run")
        demand(
            record.headline.value == wanted,
            f"an evaluation with {'one cell wrong' if damage else 'the right answers'} scores {record.headline.value}",
            f"look at decode, invert and measures together: {wanted} is right",
        )


@law("task")
def a_source_is_named_by_its_content(subject: TaskSubject) -> None:
    """source() states 64 hex digits that follow what a split holds: other puzzles, another hash."""
    known: dict[str, tuple[str, tuple[str, ...]]] = {}
    for split in subject.spec.splits:
        try:
            puzzles = subject.puzzles(split)
        except NotApplicable:
            continue
        stated = subject.task.source(split).sha256
        demand(
            bool(re.fullmatch(r"[0-9a-f]{64}", stated)),
            f"source({split!r}).sha256 is {stated[:20]!r}",
            "give trm_harness.fingerprint.dataset_sha256(puzzles), or the hash of the file that they come from",
        )
        ends = [puzzles[index] for index in sorted({0, len(puzzles) // 2, len(puzzles) - 1})] if len(puzzles) else []
        content = tuple(puzzle_sha256(puzzle) for puzzle in ends)
        other, theirs = known.setdefault(stated, (split, content))
        demand(
            theirs == content,
            f"splits {other} and {split} hold other puzzles under one hash",
            "let source(split) hash the puzzles of that split: records and the guard tell data by it",
        )
    if not known:
        raise NotApplicable("no split is on this machine")


@law("task")
def same_puzzles_in_every_process(subject: TaskSubject) -> None:
    """Another process, with another hash seed, makes the same puzzles, hashes, view names and tokens."""
    import json

    with needing_data():
        subject.puzzles(subject.spec.default_split)
        here = json.loads(json.dumps(portrait(subject.make(subject.data))))
    there = portrait_elsewhere(subject.id, subject.data)
    differ = [name for name in here if here[name] != there.get(name)]
    demand(
        not differ,
        f"another process disagrees on {', '.join(differ)}",
        "draw from np.random.default_rng of a fixed seed; use neither hash(), sets' order nor the clock",
    )


@law("task")
def splits_share_no_puzzle(subject: TaskSubject) -> None:
    """No puzzle of another split is, up to symmetry, one of the evaluated split."""
    form, spec = _form(subject), subject.spec
    held_out = {form(puzzle): puzzle for puzzle in subject.sample(spec.default_split, HELD_OUT_SAMPLE)}
    for split in spec.splits:
        if split == spec.default_split:
            continue
        found = subject.sample(split, TRAINING_SAMPLE)
        shared = [(p.id, held_out[key].id) for p in found if (key := form(p)) in held_out]
        demand(
            len(shared) <= MOST_SHARED * max(1, len(found)) and (len(shared) == 0 or spec.options.get("published")),
            f"{len(shared)} of {len(found)} puzzles of {split} are in {spec.default_split} up to symmetry, "
            f"the first is {shared[0] if shared else ''}",
            "divide puzzles by a value that no symmetry changes (a canonical form), not by their order",
        )


@law("task")
def canonical_form_sees_no_symmetry(subject: TaskSubject) -> None:
    """``canonical``, where a task has it, is the same for every view of a puzzle and differs between puzzles."""
    task = subject.task
    if not isinstance(task, Canonical):
        raise NotApplicable("the task has no canonical(puzzle)")
    for puzzle in subject.some():
        forms = {task.canonical(task.transform(puzzle, name)) for name in task.transforms(puzzle, VIEWS, 7)}
        demand(
            len(forms) == 1,
            f"canonical() gives {len(forms)} forms of {puzzle.id}",
            "take the least image under all symmetries, or another value that none of them changes",
        )
    found = subject.sample(subject.spec.default_split, 50)
    demand(
        len({task.canonical(puzzle) for puzzle in found}) > 1 or len(found) < 2,
        "canonical() is the same for every puzzle",
        "let it depend on the question",
    )


@law("task")
def bad_files_are_refused(subject: TaskSubject) -> None:
    """A missing folder, an empty one, garbage and damaged files are one-line errors (BadInput), never a traceback."""
    with tempfile.TemporaryDirectory() as place:
        for what, folder in _bad_folders(subject, Path(place)):
            for split in subject.spec.splits:
                seen = _reading(subject, folder, split)
                demand(
                    seen is None,
                    f"{what} given as --data: reading {split} {seen}",
                    "raise trm_harness.BadInput that names file and line (a task without files refuses any --data)",
                )


@law("task")
def training_draws_repeat(subject: TaskSubject) -> None:
    """A draw depends on (seed, bucket, index, size) alone, fits the spec, and says what data it comes from."""
    source, again, other = (subject.training_source(seed) for seed in (0, 0, 1))
    shares = sum(source.buckets.values())
    demand(abs(shares - 1) < 1e-6, f"shares of the buckets sum to {shares}", "let them sum to 1")
    demand(bool(source.declaration.get("data")), "the declaration names no data", "name data with its sha256")
    bucket = next(iter(source.buckets))
    first = source.draw(bucket, 3, 8)
    again.draw(bucket, 1, 8)
    for what, drawn, same in (
        ("the same draw of a fresh source", again.draw(bucket, 3, 8), True),
        ("the next draw", source.draw(bucket, 4, 8), False),
        ("another seed's draw", other.draw(bucket, 3, 8), False),
    ):
        equal = np.array_equal(first.tokens, drawn.tokens) and np.array_equal(first.labels, drawn.labels)
        demand(
            equal is same,
            f"{what} {'differs' if same else 'is the same'}",
            "draw from np.random.default_rng([seed, index, size]) and keep no state",
        )
    size, length = first.tokens.shape
    answers, further = first.labels[:, :length], first.labels[:, length:]
    top, labels = subject.spec.vocab_size, answers[answers != IGNORE_LABEL]
    fits = int(first.tokens.min()) >= 0 and max(int(first.tokens.max()), int(labels.max())) < top
    demand(
        fits and first.tokens.shape == answers.shape == first.positions.shape,
        "drawn tokens, labels and positions do not fit the spec or one another",
        "draw int32 arrays [size, length] below vocab_size",
    )
    demand(
        further.shape in ((size, 0), (size, length)) and bool(((further >= 0) | (further == IGNORE_LABEL)).all()),
        "drawn auxiliary labels are not a class for each cell",
        "let labels be [size, 2 * length], the second half a class from 0 or IGNORE_LABEL",
    )


@law("task")
def training_never_shows_held_out_answers(subject: TaskSubject) -> None:
    """No drawn example is a puzzle of the evaluated split with its answer."""
    source, task = subject.training_source(), subject.task
    held_out = set()
    for puzzle in subject.sample(subject.spec.default_split, HELD_OUT_SAMPLE):
        encoded = task.encode(puzzle, IDENTITY, {})
        held_out.add(_example(encoded.tokens, task.labels(puzzle, encoded)))
    seen = 0
    for bucket in source.buckets:
        drawn = source.draw(bucket, 0, 64 if subject.spec.seq_len < 100 else 8)
        rows = zip(drawn.tokens, drawn.labels, strict=True)
        seen += sum(_example(tokens, labels[: len(tokens)]) in held_out for tokens, labels in rows)
    demand(seen == 0, f"{seen} drawn examples are evaluated puzzles", "train on the training split alone")


def _example(tokens: np.ndarray, labels: np.ndarray) -> bytes:
    return tokens.astype(np.int32).tobytes() + labels.astype(np.int32).tobytes()


def _equal(first: Grid | None, second: Grid | None) -> bool:
    return first is not None and second is not None and np.array_equal(first, second)


def _told(answer: Grid | None) -> str:
    return "no answer" if answer is None else f"a grid of shape {answer.shape}"


def _damaged(puzzle: Puzzle, cell: int) -> Grid:
    """The answer with ``cell`` changed to another symbol that answers or questions have."""
    symbols = [s for s in np.union1d(np.unique(puzzle.answer), np.unique(puzzle.input)).tolist() if s]
    wrong = puzzle.answer.copy()
    now = int(wrong.flat[cell])
    wrong.flat[cell] = next((s for s in symbols if s != now), now + 1)
    return wrong


def _form(subject: TaskSubject) -> Callable[[Puzzle], Any]:
    """A form of a puzzle that the task's symmetries leave alone, as exact as can be had."""
    task = subject.task
    if isinstance(task, Canonical):
        return task.canonical
    puzzle = subject.some(1)[0]
    if len(task.transforms(puzzle, WHOLE_GROUP + 1, 0)) <= WHOLE_GROUP:
        return lambda puzzle: min(_images(task, puzzle))
    # A larger group is taken for dihedral maps and renamings; a task with others has its own canonical().
    return canonical_fingerprint


def _images(task: Task, puzzle: Puzzle) -> Iterator[str]:
    for name in task.transforms(puzzle, WHOLE_GROUP, 0):
        yield puzzle_sha256(task.transform(puzzle, name))


def _bad_folders(subject: TaskSubject, place: Path) -> Iterator[tuple[str, Path]]:
    yield "a folder that does not exist", place / "nowhere"
    (place / "empty").mkdir()
    yield "an empty folder", place / "empty"
    names = [*subject.spec.splits, "data", "puzzles"]
    kinds = {
        "binary garbage": b"\xff\xfe\x00garbage\x00" * 40,
        "text garbage": b"no,puzzle\n1,2,3\n{]\n",
        "nothing": b"",
    }
    for what, content in kinds.items():
        folder = place / what.replace(" ", "-")
        folder.mkdir()
        for name in names:
            for ending in ("csv", "json", "jsonl", "npz", "txt"):
                (folder / f"{name}.{ending}").write_bytes(content)
        yield f"a folder of files that hold {what}", folder
    if subject.data is not None:
        folder = place / "cut"
        folder.mkdir()
        for path in (path for path in subject.data.iterdir() if path.is_file()):
            (folder / path.name).write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        yield "a folder of files cut short", folder


def _reading(subject: TaskSubject, folder: Path, split: str) -> str | None:
    """What went wrong in reading bad files: ``None`` if they were refused as they should be."""
    try:
        with needing_data():
            task = subject.make(folder)
            puzzles = task.puzzles(split)
            [puzzles[index] for index in range(min(3, len(puzzles)))]
    except HarnessError as error:
        return None if str(error).strip() else "raises an error that says nothing"
    except Exception as error:
        return f"raises {type(error).__name__} ({' '.join(str(error).split())[:120]})"
    return f"gives {len(puzzles)} puzzles"

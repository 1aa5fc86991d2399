"""The Sudoku task: encoding, symmetries and their inverses, measures, files, training batches, bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trm_harness import registry
from trm_harness.contracts import Task, TrainingSource
from trm_harness.errors import BadInput
from trm_harness.record import training_of
from trm_harness.solvers.sudoku import is_solution, prove
from trm_harness.types import Puzzle
from trm_task_sudoku import GENERATED, files, symmetry
from trm_task_sudoku.task import SudokuTask, generated

from .sudoku_tasks import spec, task

SIZES = tuple(GENERATED)
ORDERS = {4: 3072, 6: 2_488_320, 9: 1_218_998_108_160}


@pytest.mark.parametrize("size", SIZES)
def test_registered_and_keeps_the_contract(size: int) -> None:
    catalog = registry.default().tasks
    declared = catalog.spec(f"sudoku-{size}x{size}")
    subject = catalog.resolve(declared.id)(declared, None)
    assert isinstance(subject, Task)
    assert (declared.vocab_size, declared.seq_len) == (size + 2, size * size)
    assert (declared.version, declared.headline, declared.attempts, declared.rules) == (1, "exact", 1, ("puzzles",))


@pytest.mark.parametrize("size", SIZES)
def test_encoding_round_trips(size: int) -> None:
    subject = task(size)
    for puzzle in subject.puzzles("test")[:20]:
        encoded = subject.encode(puzzle.without_answer(), "", {})
        labels = subject.labels(puzzle, encoded)
        assert encoded.tokens.dtype == labels.dtype == np.int32
        assert encoded.length == labels.shape[0] == subject.spec.seq_len
        assert encoded.tokens.min() == 1
        assert labels.min() == 2
        assert max(encoded.tokens.max(), labels.max()) < subject.spec.vocab_size
        assert np.array_equal(subject.decode(encoded.tokens, encoded), puzzle.input)
        assert np.array_equal(subject.decode(labels, encoded), puzzle.answer)
        assert subject.decode(labels, encoded).dtype == np.uint8


def test_padding_decodes_to_blanks_and_nothing_but_padding_to_no_grid() -> None:
    subject = task(4)
    encoded = subject.encode(subject.puzzles("test")[0])
    assert subject.decode(np.zeros(16, np.int32), encoded).shape == (0, 0)
    tokens = np.arange(16, dtype=np.int32) % 6
    assert subject.decode(tokens, encoded).ravel()[:6].tolist() == [0, 0, 1, 2, 3, 4]


@pytest.mark.parametrize("size", SIZES)
def test_transforms_are_distinct_and_shorter_lists_are_prefixes(size: int) -> None:
    subject = task(size)
    first, second = subject.puzzles("test")[:2]
    names = subject.transforms(first, 60, 3)
    assert names[0] == ""
    assert len(set(names)) == 60
    assert subject.transforms(first, 7, 3) == names[:7]
    assert subject.transforms(second, 60, 3) != names
    assert subject.transforms(first, 60, 4) != names
    assert subject.transforms(first, 0, 3) == []


def test_no_more_transforms_than_symmetries() -> None:
    names = task(4).transforms(task(4).puzzles("test")[0], 4000, 0)
    assert len(names) == len(set(names)) == ORDERS[4]
    assert {symmetry.parse(name, 4).name for name in names[1:]} == set(names[1:])


@pytest.mark.parametrize("size", SIZES)
def test_transformed_answers_solve_transformed_puzzles_and_come_back(size: int) -> None:
    subject = task(size)
    for puzzle in subject.puzzles("test")[:3]:
        for name in subject.transforms(puzzle, 12, 1):
            seen = subject.transform(puzzle, name)
            proof = prove(seen.input)
            assert proof.unique
            assert np.array_equal(proof.grid, seen.answer)
            assert np.array_equal(subject.invert(seen.answer, name), puzzle.answer)
            assert np.array_equal(subject.invert(seen.input, name), puzzle.input)
            assert (seen.id, seen.group, seen.facts) == (puzzle.id, puzzle.group, puzzle.facts)
            assert seen.input.dtype == np.uint8
            assert subject.transform(puzzle.without_answer(), name).answer is None


@pytest.mark.parametrize("size", SIZES)
def test_wrong_answers_come_back_exactly_too(size: int) -> None:
    random = np.random.default_rng(size)
    subject, puzzle = task(size), task(size).puzzles("test")[0]
    for name in subject.transforms(puzzle, 20, 2):
        noise = random.integers(0, size + 1, (size, size), dtype=np.uint8)
        moved = subject.transform(Puzzle("x", "x", noise), name).input
        assert np.array_equal(subject.invert(moved, name), noise)
    nothing = np.zeros((0, 0), np.uint8)
    assert subject.invert(nothing, name).shape == (0, 0)


@pytest.mark.parametrize("size", SIZES)
def test_symmetries_are_numbered_once_each(size: int) -> None:
    assert symmetry.order(size) == ORDERS[size]
    grid = task(size).puzzles("test")[0].input
    assert np.array_equal(symmetry.element(size, 0).apply(grid), grid)
    last = symmetry.element(size, ORDERS[size] - 1)
    assert symmetry.parse(last.name, size).name == last.name
    if size == 4:
        assert len({symmetry.element(4, index).name for index in range(ORDERS[4])}) == ORDERS[4]


def test_a_name_means_what_it_says() -> None:
    grid = np.arange(16, dtype=np.uint8).reshape(4, 4) % 5
    seen = task(4).transform(Puzzle("x", "x", grid), "d2134.r1023.c0123.T").input
    swap = np.array([0, 2, 1, 3, 4], np.uint8)
    assert np.array_equal(seen, swap[grid.T[[1, 0, 2, 3]]])


@pytest.mark.parametrize(
    ("size", "name"),
    [
        (4, "t3"),
        (4, "d1234.r0123"),
        (4, "d1224.r0123.c0123"),
        (4, "d1234.r0213.c0123"),
        (4, "d1234.r0123.c0123.X"),
        (9, "d1234.r0123.c0123"),
        (6, "d123456.r012345.c012345.T"),
        (6, "d123456.r012345.c024135"),
        (4, "d1234.r0123.c0122"),
    ],
)
def test_what_is_no_symmetry_is_refused(size: int, name: str) -> None:
    with pytest.raises(BadInput, match="symmetry"):
        task(size).transform(task(size).puzzles("test")[0], name)


@pytest.mark.parametrize("size", SIZES)
def test_one_damaged_cell_costs_the_puzzle(size: int) -> None:
    subject = task(size)
    puzzle = subject.puzzles("test")[5]
    assert subject.measures(puzzle, puzzle.answer) == {"exact": 1.0, "valid": 1.0, "cell": 1.0, "blank": 1.0}
    row, column = np.argwhere(puzzle.input == 0)[0]
    damaged = puzzle.answer.copy()
    damaged[row, column] = damaged[row, column] % size + 1
    blanks = int((puzzle.input == 0).sum())
    measured = subject.measures(puzzle, damaged)
    assert (measured["exact"], measured["valid"]) == (0.0, 0.0)
    assert measured["cell"] == pytest.approx(1 - 1 / size**2)
    assert measured["blank"] == pytest.approx(1 - 1 / blanks)


def test_valid_is_about_rules_and_clues_not_the_label() -> None:
    subject, puzzle = task(4), task(4).puzzles("test")[0]
    other = symmetry.parse("d2341.r0123.c0123", 4).apply(puzzle.answer)
    assert is_solution(other)
    assert subject.measures(puzzle, other)["valid"] == 0.0
    open_board = Puzzle("x", "x", np.zeros((4, 4), np.uint8), puzzle.answer)
    measured = subject.measures(open_board, other)
    assert (measured["exact"], measured["valid"]) == (0.0, 1.0)


@pytest.mark.parametrize("answer", [None, np.zeros((0, 0), np.uint8), np.zeros((6, 6), np.uint8)])
def test_no_answer_scores_nothing(answer: np.ndarray | None) -> None:
    subject = task(4)
    assert set(subject.measures(subject.puzzles("test")[0], answer).values()) == {0.0}


def test_sources_hash_content() -> None:
    sources = {split: task(4).source(split) for split in ("train", "validation", "test")}
    assert len({source.sha256 for source in sources.values()}) == 3
    assert sources["test"].n_puzzles == sources["test"].n_groups == 500
    assert generated(spec(4)).source("test") == sources["test"]


def test_training_split_is_made_when_looked_at_and_kept() -> None:
    subject = generated(spec(9))
    train = subject.puzzles("train")
    assert len(train) == 10_000
    assert train[3] is train[3]
    assert np.array_equal(train[3].input, subject.sample(0, 3).input)
    assert train[-1].id == "train-009999"
    assert [puzzle.id for puzzle in train[2:4]] == ["train-000002", "train-000003"]
    with pytest.raises(IndexError):
        train[10_000]


@pytest.mark.parametrize("size", [4, 6])
def test_training_batches_are_proper_and_repeatable(size: int) -> None:
    subject = task(size)
    source = subject.training_source(5, {}, {"puzzles": 40})
    assert isinstance(source, TrainingSource)
    rows = source.draw("all", 7, 32)
    again = subject.training_source(5, {}, {"puzzles": 40}).draw("all", 7, 32)
    assert np.array_equal(rows.tokens, again.tokens)
    assert np.array_equal(rows.labels, again.labels)
    assert not np.array_equal(rows.tokens, source.draw("all", 8, 32).tokens)
    assert not np.array_equal(rows.tokens, subject.training_source(6, {}, {"puzzles": 40}).draw("all", 7, 32).tokens)
    assert rows.tokens.dtype == rows.labels.dtype == rows.positions.dtype == np.int32
    assert rows.tokens.shape == rows.positions.shape == (32, size * size)
    for tokens, labels in zip(rows.tokens, rows.labels, strict=True):
        question, answer = ((part - 1).reshape(size, size).astype(np.uint8) for part in (tokens, labels))
        assert np.array_equal(prove(question).grid, answer)
    assert len({tokens.tobytes() for tokens in rows.tokens}) == 32


def test_training_without_augmentation_shows_the_puzzles_themselves() -> None:
    subject = task(4)
    listed = {(puzzle.input.ravel() + 1).astype(np.int32).tobytes() for puzzle in subject.puzzles("train")[:10]}
    rows = subject.training_source(0, {}, {"puzzles": 10, "augment": False}).draw("all", 0, 64)
    assert {tokens.tobytes() for tokens in rows.tokens} <= listed


def test_revealed_clues_come_from_the_answer_and_are_as_many_as_asked_for() -> None:
    plain = task(9).training_source(0, {}, {"puzzles": 10}).draw("all", 0, 64)
    source = task(9).training_source(0, {}, {"puzzles": 10, "reveal": [2, 5]})
    assert "2 to 5 further clues of its answer shown" in source.declaration["data"][0]["notes"]
    shown = source.draw("all", 0, 64)
    assert np.array_equal(shown.labels, plain.labels)
    changed = shown.tokens != plain.tokens
    assert (plain.tokens[changed] == 1).all()
    assert np.array_equal(shown.tokens[changed], shown.labels[changed])
    assert set(changed.sum(axis=1)) == {2, 3, 4, 5}
    all_of_it = task(9).training_source(0, {}, {"puzzles": 10, "reveal": [81, 81]}).draw("all", 0, 8)
    assert np.array_equal(all_of_it.tokens, all_of_it.labels)
    for wrong in (3, [5, 2], [-1, 2], [1.5, 2], "3"):
        with pytest.raises(BadInput, match="the least and the most clues"):
            task(9).training_source(0, {}, {"reveal": wrong})


def test_training_is_declared_in_the_terms_of_the_record() -> None:
    source = task(4).training_source(0, {}, {"puzzles": 25})
    entry = training_of({"training": source.declaration})
    assert entry.demonstrations == "inductive"
    assert (entry.data[0].puzzles, entry.data[0].sha256) == (25, task(4).source("train").sha256)
    assert (entry.data[0].task, entry.data[0].split) == ("sudoku-4x4", "train")
    assert sum(source.buckets.values()) == 1.0
    with pytest.raises(BadInput, match="'sides'"):
        task(4).training_source(0, {}, {"sides": [4]})


@pytest.mark.parametrize("count", [0, -1, 1487])
def test_impossible_pools_are_refused(count: int) -> None:
    with pytest.raises(BadInput, match="1 to 1486"):
        task(4).training_source(0, {}, {"puzzles": count})


def test_own_files_replace_the_generated_splits(tmp_path: Path) -> None:
    puzzles = task(4).puzzles("test")[:3]
    files.write(tmp_path / "test.csv", "mine", puzzles)
    subject = generated(spec(4), tmp_path)
    assert isinstance(subject, SudokuTask)
    assert [puzzle.input.tolist() for puzzle in subject.puzzles("test")] == [p.input.tolist() for p in puzzles]
    assert [path.name for path in tmp_path.iterdir()] == ["test.csv"]
    with pytest.raises(BadInput, match=r"train\.csv"):
        subject.puzzles("train")


GOOD = "mine,1...............,1234341221434321,0"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "does not start with"),
        ("answer,rating\n1,2\n", "does not start with"),
        ("source,question,answer,rating\n", "holds no puzzles"),
        (f"source,question,answer,rating\n{GOOD}\nmine,1..,1234341221434321,0\n", "puzzle 2.*16 cells"),
        ("source,question,answer,rating\nmine,5...............,1234341221434321,0\n", "puzzle 1.*16 cells"),
        ("source,question,answer,rating\nmine,x...............,1234341221434321,0\n", "puzzle 1.*16 cells"),
        ("source,question,answer,rating\nmine,2...............,1234341221434321,0\n", "does not solve"),
        ("source,question,answer,rating\nmine,1...............,1234123412341234,0\n", "does not solve"),
        ("source,question,answer,rating\nmine,1...............,1234341221434321,hard\n", "rating"),
        ("source,question,answer,rating\nmine,1...............,1234341221434321\n", "expected source"),
    ],
)
def test_bad_files_are_refused_with_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "test.csv").write_text(text)
    with pytest.raises(BadInput, match=complaint) as caught:
        generated(spec(4), tmp_path).puzzles("test")
    assert "\n" not in str(caught.value)


def test_bad_requests_are_refused_with_one_line(tmp_path: Path) -> None:
    puzzle = task(4).puzzles("test")[0]
    with pytest.raises(BadInput, match="no split 'dev'"):
        task(4).puzzles("dev")
    with pytest.raises(BadInput, match="not a folder"):
        generated(spec(4), tmp_path / "missing")
    with pytest.raises(BadInput, match="no answer"):
        task(4).labels(puzzle.without_answer(), task(4).encode(puzzle))
    with pytest.raises(BadInput, match="no answer"):
        task(4).measures(puzzle.without_answer(), puzzle.answer)
    with pytest.raises(BadInput, match="9x9 grids"):
        task(9).encode(puzzle)
    with pytest.raises(BadInput, match="no training puzzle"):
        task(4).sample(0, -1)

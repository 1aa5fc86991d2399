"""The base of square-grid tasks: a whole task in a few lines, and files that are written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from trm_harness.errors import BadInput
from trm_harness.gridtask import GridTask, answer_of, data_folder, read_table, through, view_random, write_table
from trm_harness.specs import TaskSpec
from trm_harness.types import Puzzle

SPEC = TaskSpec("toy-2x2", 3, "toy:toy", "Toy", "", vocab_size=4, seq_len=4, splits=("test",), options={"size": 2})


class Toy(GridTask):
    first_token = 1
    loads = 0

    def load(self, split: str) -> Sequence[Puzzle]:
        self.loads += 1
        return [Puzzle("a", "a", grid("0012"), grid("2112"), facts={"rating": 1})]


def grid(cells: str) -> np.ndarray:
    return np.array(list(cells), np.uint8).reshape(2, 2)


def test_cells_become_tokens_and_come_back() -> None:
    task = Toy(SPEC)
    puzzle = task.puzzles("test")[0]
    encoded = task.encode(puzzle)
    assert encoded.tokens.tolist() == [1, 1, 2, 3]
    assert encoded.tokens.dtype == np.int32
    assert encoded.identity == ""
    assert encoded.layout == (2, 2)
    assert task.labels(puzzle, encoded).tolist() == [3, 2, 2, 3]
    assert np.array_equal(task.decode(encoded.tokens, encoded), puzzle.input)
    assert task.decode(np.array([0, 1, 2, 3], np.int32), encoded).tolist() == [[0, 0], [1, 2]]
    assert task.decode(np.zeros(4, np.int32), encoded).shape == (0, 0)


def test_splits_are_loaded_once_and_described() -> None:
    task = Toy(SPEC)
    source = task.source("test")
    assert task.puzzles("test") is task.puzzles("test")
    assert task.loads == 1
    assert (source.name, source.version, source.notes) == ("toy-2x2", "3", "test.csv")
    with pytest.raises(BadInput, match="toy-2x2 has no split 'tset': use one of test"):
        task.puzzles("tset")


def test_grids_of_another_shape_and_missing_answers_are_refused(tmp_path: Path) -> None:
    task = Toy(SPEC)
    question = task.puzzles("test")[0].without_answer()
    with pytest.raises(BadInput, match="takes 2x2 grids, this one has the shape"):
        task.tokens(np.zeros((3, 2), np.uint8))
    with pytest.raises(BadInput, match="no answer to train on"):
        task.labels(question, task.encode(question))
    with pytest.raises(BadInput, match="no answer to measure by"):
        answer_of(question)
    with pytest.raises(BadInput, match="is not a folder: --data"):
        data_folder(tmp_path / "none")
    assert data_folder(tmp_path) == tmp_path


def test_views_follow_from_seed_and_group_alone() -> None:
    puzzle = Toy(SPEC).puzzles("test")[0]
    other = Puzzle("b", "a", puzzle.answer, puzzle.input)
    draws = [view_random(item, seed).integers(1 << 40) for item, seed in ((puzzle, 0), (other, 0), (puzzle, 1))]
    assert draws[0] == draws[1] != draws[2]
    turned = through(puzzle, np.rot90)
    assert (turned.id, turned.group, turned.facts) == ("a", "a", {"rating": 1})
    assert np.array_equal(turned.input, np.rot90(puzzle.input))
    assert through(puzzle.without_answer(), np.rot90).answer is None


def test_tables_come_back_as_they_were_written(tmp_path: Path) -> None:
    path, rows = tmp_path / "test.csv", [("1, 2", 3), ("", 4)]
    write_table(path, ("question", "rating"), rows)
    assert path.read_bytes() == b'question,rating\n"1, 2",3\n,4\n'
    assert read_table(path, ("question", "rating")) == [["1, 2", "3"], ["", "4"]]
    with pytest.raises(BadInput, match="does not start with the line question,answer"):
        read_table(path, ("question", "answer"))
    write_table(path, ("question",), [])
    with pytest.raises(BadInput, match="holds no boards"):
        read_table(path, ("question",), "boards")


def test_an_interrupted_writer_leaves_the_old_file(tmp_path: Path) -> None:
    def breaks() -> Iterator[tuple[str]]:
        yield ("1",)
        raise RuntimeError("stopped")

    path = tmp_path / "test.csv"
    write_table(path, ("question",), [("0",)])
    with pytest.raises(RuntimeError, match="stopped"):
        write_table(path, ("question",), breaks())
    assert [item.name for item in tmp_path.iterdir()] == ["test.csv"]
    assert path.read_text() == "question\n0\n"

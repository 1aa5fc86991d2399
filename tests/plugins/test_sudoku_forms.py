"""Sudoku files as people have them: one reader for all tasks, tables in every dress, lists of boards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trm_harness import registry
from trm_harness.contracts import Task
from trm_harness.errors import BadInput, NoSplit
from trm_task_sudoku import files
from trm_task_sudoku.files import text_of

from .sudoku_tasks import task

TASKS = ("sudoku-4x4", "sudoku-9x9", "sudoku-extreme")
COLUMNS = ("source", "question", "answer", "rating")


def opened(name: str, data: Path) -> Task:
    catalog = registry.default().tasks
    return catalog.resolve(name)(catalog.spec(name), data)


def size_of(name: str) -> int:
    return 4 if name == "sudoku-4x4" else 9


def rows(name: str, count: int = 3) -> list[dict[str, str]]:
    """Puzzles as the cells of a table."""
    puzzles = task(size_of(name)).puzzles("test")[:count]
    return [
        {"source": "mine", "question": text_of(p.input), "answer": text_of(p.answer), "rating": str(p.facts["rating"])}
        for p in puzzles
    ]


def table(lines: list[dict[str, str]], columns: tuple[str, ...] = COLUMNS) -> str:
    return "\n".join([",".join(columns), *(",".join(line[name] for name in columns) for line in lines)]) + "\n"


def quoted(text: str, every: bool) -> str:
    lines = [line.split(",") for line in text.splitlines()]
    return "".join(
        ",".join(f'"{cell}"' if every or place == 1 else cell for place, cell in enumerate(line)) + "\n"
        for line in lines
    )


DRESSES: dict[str, Callable[[str], bytes]] = {
    "a mark of Windows": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "line ends of Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "mark and line ends": lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(),
    "an empty line between": lambda text: text.replace("\n", "\n\n", 2).encode(),
    "empty lines at the end": lambda text: f"{text}\n\n".encode(),
    "all quoted": lambda text: quoted(text, True).encode(),
    "one column quoted": lambda text: quoted(text, False).encode(),
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "zeros": lambda text: text.replace(".", "0").encode(),
    "a name that is not ASCII": lambda text: text.replace("mine", "très dur").encode(),
    "capitals in the header": lambda text: text.replace("question", "Question").encode(),
}


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("dress", DRESSES)
def test_every_dress_of_a_table_is_the_same_table(name: str, dress: str, tmp_path: Path) -> None:
    text = table(rows(name))
    (tmp_path / "test.csv").write_text(text)
    plain = opened(name, tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "test.csv").write_bytes(DRESSES[dress](text))
    dressed = opened(name, other)
    assert dressed.source("test").sha256 == plain.source("test").sha256
    assert [p.facts for p in dressed.puzzles("test")] == [p.facts for p in plain.puzzles("test")]
    assert len(plain.puzzles("test")) == 3


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(
    "columns", [("question", "answer", "rating", "source"), ("rating", "answer", "question"), ("answer", "question")]
)
def test_columns_may_stand_in_any_order_and_some_may_lack(name: str, columns: tuple[str, ...], tmp_path: Path) -> None:
    lines = rows(name)
    (tmp_path / "test.csv").write_text(table(lines, columns))
    puzzles = opened(name, tmp_path).puzzles("test")
    assert [text_of(p.input) for p in puzzles] == [line["question"] for line in lines]
    assert [text_of(p.answer) for p in puzzles] == [line["answer"] for line in lines]
    if "rating" in columns:
        assert [str(p.facts["rating"]) for p in puzzles] == [line["rating"] for line in lines]


@pytest.mark.parametrize("name", TASKS)
def test_other_collections_names_and_decimal_ratings(name: str, tmp_path: Path) -> None:
    lines = [
        {"id": str(i), "puzzle": r["question"], "solution": r["answer"], "difficulty": f"{i}.25"}
        for i, r in enumerate(rows(name))
    ]
    (tmp_path / "test.csv").write_text(table(lines, ("id", "puzzle", "solution", "difficulty")))
    subject = opened(name, tmp_path)
    assert [p.facts["rating"] for p in subject.puzzles("test")] == [0.25, 1.25, 2.25]
    assert subject.source("test").n_puzzles == 3


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("ending", [".txt", ".sdm"])
@pytest.mark.parametrize("as_file", [True, False])
def test_a_list_without_answers_is_solved_and_said_so(name: str, ending: str, as_file: bool, tmp_path: Path) -> None:
    lines, size = rows(name), size_of(name)
    first, second, third = (line["question"] for line in lines)
    drawn = "\n".join("|".join(third[at : at + size]) for at in range(0, size * size, size))
    text = f"# three of them\n{first.replace('.', '0')}\n\n{second.replace('.', '*')}\nGrid 03\n{drawn}\n"
    path = tmp_path / f"test{ending}"
    path.write_text(text)
    subject = opened(name, path if as_file else tmp_path)
    assert [text_of(p.answer) for p in subject.puzzles("test")] == [line["answer"] for line in lines]
    assert subject.source("test").remarks == (f"{path.name}: 3 of 3 answers are the exact solver's",)


@pytest.mark.parametrize("name", TASKS)
def test_answers_in_a_list_are_taken(name: str, tmp_path: Path) -> None:
    line = rows(name, 1)[0]
    (tmp_path / "mine.txt").write_text(f"{line['question']} {line['answer']}\n")
    subject = opened(name, tmp_path / "mine.txt")
    assert text_of(subject.puzzles("test")[0].answer) == line["answer"]
    assert not subject.source("test").remarks


@pytest.mark.parametrize("name", TASKS)
def test_several_solutions_are_named(name: str, tmp_path: Path) -> None:
    line, cells = rows(name, 1)[0], size_of(name) ** 2
    open_one = "1" + "." * (cells - 1)
    (tmp_path / "test.txt").write_text(f"{line['question']}\n{open_one}\n")
    with pytest.raises(BadInput, match=r"test\.txt, line 2: .*several solutions"):
        opened(name, tmp_path).puzzles("test")
    (tmp_path / "test.txt").unlink()
    blank = {**line, "question": "." * cells}
    (tmp_path / "test.csv").write_text(table([line, blank]))
    source = opened(name, tmp_path).source("test")
    assert source.remarks == (
        "test.csv: 1 of 2 questions have several solutions (the first in line 3), and exact asks for the given one",
    )
    (tmp_path / "test.csv").write_text(table([{**line, "question": "11" + "." * (cells - 2), "answer": ""}]))
    with pytest.raises(BadInput, match=r"test\.csv, line 2: .*no solution"):
        opened(name, tmp_path).puzzles("test")


@pytest.mark.parametrize("ending", ["sdk", "ss", "SDM", "Txt"])
def test_a_board_drawn_over_lines_is_one_whatever_the_ending(ending: str, tmp_path: Path) -> None:
    line = rows("sudoku-4x4", 1)[0]
    cells = [line["question"][at : at + 4] for at in range(0, 16, 4)]
    drawn = [f"{row[:2]}|{row[2:]}" for row in cells]
    text = "\n".join(["#AA. Nyone", *drawn[:2], "-----", *drawn[2:]])
    (tmp_path / f"mine.{ending}").write_text(text)
    (puzzle,) = opened("sudoku-4x4", tmp_path / f"mine.{ending}").puzzles("test")
    assert (text_of(puzzle.input), text_of(puzzle.answer)) == (line["question"], line["answer"])


@pytest.mark.parametrize("name", TASKS)
def test_of_a_large_file_it_is_said_how_many_were_looked_at(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trm_task_sudoku.unique._QUICK", 3)
    line, cells = rows(name, 1)[0], size_of(name) ** 2
    blank = {**line, "question": "." * cells}
    (tmp_path / "test.csv").write_text(table([line, blank, line, blank]))
    assert opened(name, tmp_path).source("test").remarks == (
        "test.csv: 1 of 4 questions have several solutions (the first in line 3), and exact asks for the given one",
        "test.csv: only the first 3 of 4 questions were asked whether they have several solutions",
    )


def test_an_undecided_board_is_said_to_be_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    from trm_task_sudoku import unique

    hard = registry.default().task("sudoku-9x9").puzzles("hard")[0].input
    assert unique.doubts([hard]) == [""]
    monkeypatch.setattr(unique, "MOST_GUESSES", 3)
    assert unique.doubts([hard]) == ["whether it has one solution was not found out in 3 guesses"]


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"question": "12"}, "line 4.*question: '12' is not"),
        ({"answer": "12"}, "line 4.*answer: '12' is not"),
        ({"rating": "hard"}, "line 4.*rating: 'hard' is not a number"),
        ({"rating": "-1.5"}, "line 4.*rating: '-1.5' is not a number"),
    ],
)
@pytest.mark.parametrize("dress", [str, lambda text: quoted(text, True)], ids=["plain", "quoted"])
def test_a_message_names_line_and_field(
    name: str, change: dict[str, str], complaint: str, dress: Callable[[str], str], tmp_path: Path
) -> None:
    lines = rows(name)
    lines[2].update(change)
    (tmp_path / "test.csv").write_text(dress(table(lines)))
    with pytest.raises(BadInput, match=complaint) as caught:
        opened(name, tmp_path).puzzles("test")
    assert "\n" not in str(caught.value)


def test_missing_columns_and_lists_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("id,answer\n1,2\n")
    with pytest.raises(BadInput, match=r"its columns are id,answer"):
        opened("sudoku-4x4", tmp_path).puzzles("test")
    (tmp_path / "mine.txt").write_text("# nothing\n")
    with pytest.raises(BadInput, match="holds no puzzles"):
        opened("sudoku-4x4", tmp_path / "mine.txt").puzzles("test")
    (tmp_path / "mine.txt").write_text("12..\n3.4.\n")
    with pytest.raises(BadInput, match="line 1: the board that begins here has 8 of 16 cells"):
        opened("sudoku-4x4", tmp_path / "mine.txt").puzzles("test")


@pytest.mark.parametrize("name", ["sudoku-4x4", "sudoku-extreme"])
def test_one_split_serves_what_needs_it_and_errors_name_what_is_there(name: str, tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text(table(rows(name)))
    with pytest.raises(NoSplit, match=r"no train\.csv for the split train, only test"):
        opened(name, tmp_path).puzzles("train")
    (tmp_path / "test.txt").write_text("x")
    with pytest.raises(BadInput, match=r"test\.csv and test\.txt, both for the split test"):
        opened(name, tmp_path).puzzles("test")


def test_the_plain_reader_and_the_careful_one_agree(tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    path.write_text(table(rows("sudoku-9x9", 50)))
    plain = files.read(path, "test", 9)
    path.write_text(quoted(path.read_text(), True))
    for one, other in zip(plain, files.read(path, "test", 9), strict=True):
        assert np.array_equal(one.input, other.input)
        assert np.array_equal(one.answer, other.answer)
        assert (one.id, one.facts) == (other.id, other.facts)

"""Reading grids out of replies, and writing prompts: pure text, no endpoint."""

from __future__ import annotations

import time

import numpy as np
import pytest

from trm_harness.errors import BadInput
from trm_harness.specs import TaskSpec
from trm_harness.types import Puzzle
from trm_model_llm import prompt
from trm_model_llm.reply import read_grid

GRID = [[1, 2, 3], [4, 5, 0]]
NINE = np.arange(81, dtype=np.uint8).reshape(9, 9) % 9 + 1
LINES = [" | ".join(" ".join(map(str, row[i : i + 3])) for i in (0, 3, 6)) for row in NINE.tolist()]
BANDS = [LINES[top : top + 3] for top in (0, 3, 6)]
BOXED = "\n------+-------+------\n".join("\n".join(band) for band in BANDS)


@pytest.mark.parametrize(
    "text",
    [
        "1 2 3\n4 5 0",
        "123\n450",
        "1,2,3\n4,5,0",
        "1, 2, 3,\n4, 5, 0,",
        "The answer:\n```\n1 2 3\n4 5 0\n```\nHope this helps!",
        "```text\n1 2 3\r\n4 5 0\r\n```",
        "~~~\n1 2 3\n4 5 0\n~~~",
        "[[1,2,3],[4,5,0]]",
        "```json\n[[1, 2, 3], [4, 5, 0]]\n```",
        '{"output": [[1, 2, 3],\n [4, 5, 0]]}',
        "[\n  [1, 2, 3],\n  [4, 5, 0],\n]",
        "[1, 2, 3]\n[4, 5, 0]",
        "[[1 2 3]\n [4 5 0]]",
        "| 1 | 2 | 3 |\n|---|---|---|\n| 4 | 5 | 0 |",
        "Row 1: 1 2 3\nRow 2: 4 5 0",
        "1\t2\t3\n4\t5\t0",
        "  1 2 3  \n  4 5 0  \n\n",
        "**1 2 3**\n**4 5 0**",
        "First try:\n9 9 9\n9 9 9\n\nNo. Rather:\n1 2 3\n4 5 0",
        "```\n7 7\n7 7\n```\nthat is wrong, so\n```\n1 2 3\n4 5 0\n```",
        "<think>```\n8 8 8\n8 8 8\n```</think>\n1 2 3\n4 5 0",
        "```\n1 2 3\n4 5 0\n```\nThe size is\n42",
        "1 2 3\n4 5 0\nConfidence in percent:\n9",
        "[[7,7],[7,7]]\n[[1,2,3],[4,5,0]]",
        "```\n1 2 3\n4 5 0",
        "<table><tr><td>1</td><td>2</td><td>3</td></tr><tr><td>4</td><td>5</td><td>0</td></tr></table>",
        "<row>1 2 3</row><row>4 5 0</row>",
        "1 2 3<br>4 5 0",
        "[[1, 2, 3],  # the first row, 9\n [4, 5, 0]]  # the second",
        "[[1, 2, 3], // 9\n [4, 5, 0]]",
        "[[1. 2. 3.]\n [4. 5. 0.]]",
        "As in [#1] and [//]:\n1 2 3\n4 5 0",
    ],
)
def test_the_last_grid_is_found_in_any_dress(text: str) -> None:
    grid = read_grid(text, 10)
    assert grid is not None
    assert grid.dtype == np.uint8
    assert grid.tolist() == GRID


@pytest.mark.parametrize("text", [BOXED, f"```\n{BOXED}\n```", "\n".join("".join(map(str, r)) for r in NINE.tolist())])
def test_boards_with_boxes_drawn(text: str) -> None:
    assert np.array_equal(read_grid(text, 11), NINE)


def test_groups_of_digits_that_name_no_symbol_are_cells() -> None:
    rows = ["".join(map(str, row)) for row in NINE.tolist()]
    text = "\n".join(f"{row[:3]} {row[3:6]} {row[6:]}" for row in rows)
    assert np.array_equal(read_grid(text, 11), NINE)
    assert read_grid("12 34\n34 12", 6).tolist() == [[1, 2, 3, 4], [3, 4, 1, 2]]
    assert read_grid("12 34\n34 12", 36).tolist() == [[12, 34], [34, 12]]


def test_a_single_cell_counts_where_it_is_all_there_is() -> None:
    assert read_grid("So:\n7", 10).tolist() == [[7]]
    assert read_grid("1 2\n3 4\n```\n7\n```", 10).tolist() == [[7]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I cannot solve this.",
        "```\n```",
        "1 2 3\n4 5",
        "9 9\n9 9\n\n1 2 3\n4 5",
        "[[1,2],[3]]",
        "1.5 2.5",
        "1 2 x\n3 4 y",
        "-1 -2",
        "8 8\n8 8",
        "\n".join(["1"] * 300),
        "１ ２\n３ ４",
    ],
)
def test_what_is_no_grid_is_no_answer(text: str) -> None:
    assert read_grid(text, 6) is None


def test_reading_long_replies_takes_no_time() -> None:
    began = time.perf_counter()
    hard = ("[" * 50_000, "] " + " " * 50_000, "1 " * 50_000 + "x", "-" * 50_000 + "x", "|-" * 50_000, "1,;" * 30_000)
    for text in hard:
        read_grid(text, 10)
    assert time.perf_counter() - began < 2


def spec(family: str, seq_len: int = 81, **options: object) -> TaskSpec:
    return TaskSpec("toy", 1, "a:b", "Toy puzzles", "Swap the ends.", 11, seq_len, family=family, options=options)


DEMONSTRATED = Puzzle(
    "p",
    "p",
    np.array([[1, 0]], np.uint8),
    demonstrations=((np.array([[1, 2]], np.uint8), np.array([[2, 1]], np.uint8)),),
)


def test_the_prompt_shows_demonstrations_then_the_puzzle() -> None:
    text = prompt.render(prompt.template(spec("toy")), DEMONSTRATED)
    assert (
        text.index("Swap the ends.") < text.index("Example 1\nInput:\n1 2\nOutput:\n2 1") < text.index("Input:\n1 0\n")
    )
    assert "{" not in text


def test_a_puzzle_without_demonstrations_has_no_examples() -> None:
    bare = Puzzle("p", "p", np.array([[1, 0]], np.uint8))
    assert "Example" not in prompt.render(prompt.template(spec("toy")), bare)


@pytest.mark.parametrize(("size", "box"), [(4, "2 by 2"), (6, "2 by 3"), (9, "3 by 3")])
def test_sudoku_rules_name_the_board(size: int, box: str) -> None:
    text = prompt.template(spec("sudoku", size * size))
    assert f"{size} by {size} Sudoku" in text
    assert box in text
    assert "{size}" not in text


def test_a_task_can_bring_its_own_instructions() -> None:
    text = prompt.template(spec("maze", instructions="Walk on {size} legs."))
    assert text.startswith("Walk on {size} legs.")
    assert "shortest path" in prompt.template(spec("maze"))


def test_an_own_prompt_must_have_a_place_for_the_puzzle() -> None:
    assert prompt.template(spec("toy"), "Solve {input}") == "Solve {input}"
    with pytest.raises(BadInput, match=r"\{input\}"):
        prompt.template(spec("toy"), "Solve it")


def test_the_fingerprint_is_that_of_the_text() -> None:
    text = prompt.template(spec("toy"))
    assert len(prompt.fingerprint(text)) == 64
    assert prompt.fingerprint(text) != prompt.fingerprint(text + " ")

"""The maze solver against plain searches that share no code with it."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from tests.plugins.maze_tasks import count_shortest, grid
from trm_harness.errors import BadInput
from trm_harness.solvers.maze import GOAL, OPEN, PATH, START, WALL, Board, directions, distance, is_path, solve
from trm_harness.types import Grid

Cell = tuple[int, int]


def random_maze(random: np.random.Generator, height: int, width: int) -> Grid:
    cells = np.where(random.random((height, width)) < random.uniform(0.1, 0.5), WALL, OPEN).astype(np.uint8)
    start, goal = random.choice(height * width, size=2, replace=False)
    cells.ravel()[start], cells.ravel()[goal] = START, GOAL
    return cells


def mazes(count: int = 150) -> list[Grid]:
    random = np.random.default_rng(8)
    return [random_maze(random, *random.integers(2, 9, size=2)) for _ in range(count)]


def neighbours(question: Grid, cell: Cell) -> list[Cell]:
    """Free cells below, left, right and above, in that order."""
    row, column = cell
    near = [(row + 1, column), (row, column - 1), (row, column + 1), (row - 1, column)]
    height, width = question.shape
    return [(r, c) for r, c in near if 0 <= r < height and 0 <= c < width and question[r, c] != WALL]


def place(question: Grid, symbol: int) -> Cell:
    ((row, column),) = np.argwhere(question == symbol).tolist()
    return row, column


def first_found(question: Grid) -> list[Cell] | None:
    """Breadth-first search from the start that keeps the first parent of every cell: goal to start."""
    start, goal = place(question, START), place(question, GOAL)
    parents: dict[Cell, Cell | None] = {start: None}
    waiting = deque([start])
    while waiting:
        here = waiting.popleft()
        for near in neighbours(question, here):
            if near not in parents:
                parents[near] = here
                waiting.append(near)
    if goal not in parents:
        return None
    path: list[Cell] = [goal]
    while (parent := parents[path[-1]]) is not None:
        path.append(parent)
    return path


def walks(question: Grid, longest: int) -> list[tuple[Cell, ...]]:
    """Every way from start to goal of at most ``longest`` steps that enters no cell twice."""
    goal, found = place(question, GOAL), []

    def walk(path: tuple[Cell, ...]) -> None:
        if path[-1] == goal:
            found.append(path)
        elif len(path) <= longest:
            for near in neighbours(question, path[-1]):
                if near not in path:
                    walk((*path, near))

    walk((place(question, START),))
    return found


def marked(question: Grid, path: tuple[Cell, ...]) -> Grid:
    answer = question.copy()
    for cell in path[1:-1]:
        answer[cell] = PATH
    return answer


def test_the_path_is_that_of_breadth_first_search_in_the_stated_order() -> None:
    connected = 0
    for question in mazes():
        expected = first_found(question)
        answer = solve(question)
        if expected is None:
            assert answer is None
            assert distance(question) is None
            assert count_shortest(question) == 0
            continue
        connected += 1
        assert np.array_equal(answer, marked(question, tuple(expected)))
        assert answer.dtype == np.uint8
        assert distance(question) == len(expected) - 1
    assert 40 < connected < 150


def test_all_shortest_paths_are_counted() -> None:
    seen = set()
    for question in mazes(60):
        steps = distance(question)
        if steps is not None:
            ways = [path for path in walks(question, steps) if len(path) == steps + 1]
            assert count_shortest(question) == len(ways)
            assert {solve(question).tobytes()} <= {marked(question, way).tobytes() for way in ways}
            seen.add(len(ways))
    assert {1, 2} < seen


def test_directions_lead_from_every_cell_along_its_own_solution() -> None:
    told = 0
    for question in mazes(60):
        ways, goal = directions(question), place(question, GOAL)
        for cell in zip(*np.nonzero(question != WALL), strict=True):
            asked = np.where(question == START, np.uint8(OPEN), question)
            asked[cell] = START
            path = None if cell == goal else first_found(asked)
            if path is None:
                assert ways[cell] == -1
                continue
            step = tuple(int(there) - int(here) for here, there in zip(path[-1], path[-2], strict=True))
            assert ((1, 0), (0, -1), (0, 1), (-1, 0))[ways[cell]] == step
            told += 1
        assert (ways[question == WALL] == -1).all()
    assert told > 500


def test_an_open_square_has_as_many_paths_as_the_binomial_says() -> None:
    question = np.full((7, 7), OPEN, np.uint8)
    question[0, 0], question[6, 6] = START, GOAL
    assert count_shortest(question) == 924
    assert solve(question).tolist() == [[START, *[OPEN] * 6], *[[PATH, *[OPEN] * 6]] * 5, [PATH] * 6 + [GOAL]]


def test_every_walk_without_a_shortcut_is_a_path_and_nothing_else_is() -> None:
    random = np.random.default_rng(3)
    for _ in range(12):
        question = random_maze(random, 3, 4)
        clean = set()
        for path in walks(question, 12):
            beside = any(
                near in path and abs(path.index(near) - at) > 1
                for at, cell in enumerate(path)
                for near in neighbours(question, cell)
            )
            if not beside:
                clean.add(marked(question, path).tobytes())
        free = np.flatnonzero(question == OPEN)
        for choice in range(2**free.size):
            answer = question.copy()
            answer.ravel()[free[[choice >> bit & 1 == 1 for bit in range(free.size)]]] = PATH
            assert is_path(question, answer) == (answer.tobytes() in clean)


QUESTION = grid("S  #", " # #", "   G")
BEST = grid("S  #", "o# #", "oooG")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (BEST, True),
        (grid("Soo#", " #o#", "  oG"), True),
        (QUESTION, False),
        (grid("S  #", "o# #", "o oG"), False),
        (grid("So #", "o# #", "oooG"), False),
        (grid("S  #", "oo #", "oooG"), False),
        (grid("S   ", "o# #", "oooG"), False),
        (grid("o  #", "o# #", "oooG"), False),
        (grid("S  #", "o# #", "oooo"), False),
        (grid("S  #", "o#G#", "oooG"), False),
        (np.zeros((3, 4), np.uint8), False),
        (np.zeros((0, 0), np.uint8), False),
        (BEST.ravel(), False),
    ],
)
def test_what_counts_as_a_path(answer: Grid, expected: bool) -> None:
    assert is_path(QUESTION, answer) is expected


def test_neighbouring_ends_need_no_marks() -> None:
    assert is_path(grid("SG"), grid("SG"))
    assert distance(grid("SG")) == 1
    assert count_shortest(grid("SG")) == 1
    assert np.array_equal(solve(grid("SG")), grid("SG"))


@pytest.mark.parametrize("question", [grid("S  "), grid("SGG"), grid("#G"), np.zeros((0, 0), np.uint8), grid("SG")[0]])
def test_what_is_no_maze_is_refused(question: Grid) -> None:
    with pytest.raises(BadInput, match="one start"):
        solve(question)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (7, 1), (3, 5), (30, 30)])
def test_sets_of_cells_come_back_as_they_were(height: int, width: int) -> None:
    random, board = np.random.default_rng(1), Board(height, width)
    cells = random.random((height, width)) < 0.5
    cells[0, 0] = True
    bits = board.bits(cells)
    assert bits.bit_count() == cells.sum()
    assert np.array_equal(board.cells(bits), cells)
    picked = {board.pick(bits, random) for _ in range(40 * cells.size)}
    assert sum(picked) == bits


def test_rows_do_not_run_into_one_another() -> None:
    assert solve(grid("#S", "G#")) is None
    assert solve(grid("S#", "#G")) is None
    assert solve(grid("# S", "###", "G #")) is None

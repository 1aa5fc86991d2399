"""What a language model is asked: the task in words, solved examples, the puzzle, and the form of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from trm_harness.errors import BadInput
from trm_harness.specs import TaskSpec
from trm_harness.types import Grid, Puzzle

TASK, EXAMPLES, INPUT = "{task}", "{examples}", "{input}"

TEMPLATE = f"""\
{TASK}

Grids are written row by row, one line a row, with a space between cells. Every cell is a whole number.

{EXAMPLES}Here is the puzzle to solve.

Input:
{INPUT}

Find its output grid. You may reason first. End your reply with the whole output grid and nothing after it, between
two lines of three backticks: one line a row, a space between cells."""
"""The built-in template. ``{{task}}``, ``{{examples}}`` and ``{{input}}`` are filled in."""

RULES: Mapping[str, str] = {
    "arc": (
        "Each example below turns an input grid into an output grid by one and the same rule; the numbers 0 to 9 are "
        "colours. Work out the rule and apply it to the last input. The output may have another size than the input."
    ),
    "sudoku": (
        "Fill in the {size} by {size} Sudoku: every row, every column and every {height} by {width} box (height by "
        "width) holds each number from 1 to {size} once. 0 marks a blank cell; all other cells stay as they are."
    ),
    "maze": (
        "Find a shortest path through the maze. 1 is a wall, 2 is open, 3 is the start, 4 is the goal; a step goes to "
        "the cell above, below, left or right, never into a wall. The output is the maze with every open cell of the "
        "path, start and goal left as they are, changed from 2 to 5."
    ),
}
"""The rules of families of tasks whose descriptions are written for people who know them.

Any other task is told by its ``options["instructions"]``, or else by its title and description.
"""


def template(spec: TaskSpec, custom: str = "") -> str:
    """The template for a task: ``{task}`` is filled in, ``{examples}`` and ``{input}`` are left for each puzzle.

    ``custom`` replaces the built-in text; ``BadInput`` if it has no place for the puzzle.
    """
    if custom and INPUT not in custom:
        raise BadInput(f"model llm: the prompt has no {INPUT}, the place for the puzzle: put it there")
    return (custom or TEMPLATE).replace(TASK, _described(spec))


def fingerprint(text: str) -> str:
    """Hex sha256 of a template."""
    return sha256(text.encode()).hexdigest()


def render(text: str, puzzle: Puzzle) -> str:
    """The prompt of ``puzzle``: the template with its demonstrations and its input."""
    pairs = enumerate(puzzle.demonstrations, 1)
    examples = "".join(
        f"Example {number}\nInput:\n{grid_text(given)}\nOutput:\n{grid_text(wanted)}\n\n"
        for number, (given, wanted) in pairs
    )
    return text.replace(EXAMPLES, examples).replace(INPUT, grid_text(puzzle.input))


def grid_text(grid: Grid) -> str:
    """Rows as lines, cells apart by spaces."""
    return "\n".join(" ".join(map(str, row)) for row in grid.tolist())


def _described(spec: TaskSpec) -> str:
    """The task in words: its own instructions, its family's rules, or its description."""
    own = spec.options.get("instructions") or RULES.get(spec.family)
    if not own:
        return f"{spec.title}. {spec.description}"
    if spec.family != "sudoku":
        return str(own)
    from trm_harness.solvers.sudoku import box_shape

    size = round(spec.seq_len**0.5)
    height, width = box_shape(size)
    sizes = {"{size}": size, "{height}": height, "{width}": width}
    text = str(own)
    for name, value in sizes.items():
        text = text.replace(name, str(value))
    return text

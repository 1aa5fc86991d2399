"""Golden outputs: a few puzzles' answers, kept beside a card, that the weights must give again to the cell.

Only answers that come out the same in float32 and in bfloat16 are kept, so that another processor's rounding does not
turn a good file into a bad one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from trm_harness.contracts import Task
from trm_harness.errors import BadInput, DataMissing, HarnessError
from trm_harness.files.read import read_json
from trm_harness.files.write import write_text
from trm_harness.inference import InferencePlan, StepOptions, ask
from trm_harness.loading import Launch, load, task_of
from trm_harness.machine import resolve_device
from trm_harness.record.journal import grid_text
from trm_harness.types import Puzzle
from trm_harness.zoo import Card, Check, weights_path

FORMAT = 1
FILE = "golden.json"
COUNT, TRIED = 8, 48


@dataclass(frozen=True)
class Golden:
    """Answers by puzzle id after ``steps`` supervision steps of a single pass, in the journal's text form."""

    task: str
    task_version: int
    split: str
    steps: int
    answers: dict[str, str]


def make_golden(card: Card, count: int = COUNT, steps: int | None = None) -> Path:
    """Write ``golden.json`` beside the card: answers to the first ``count`` puzzles that two number formats agree on.

    ``steps`` defaults to the model's own. ``BadInput`` if they agree on none of the first puzzles.
    """
    task = task_of(card.task)
    split = task.spec.default_split
    agreed: dict[str, str] = {}
    for start in range(0, max(TRIED, count), count):
        puzzles = list(islice(task.puzzles(split), start, start + count))
        used, first = _answers(card, task, puzzles, steps, "float32")
        second = _answers(card, task, puzzles, steps, "bfloat16")[1]
        agreed |= {name: text for name, text in first.items() if text and second[name] == text}
        if len(agreed) >= count or len(puzzles) < count:
            break
    if not agreed:
        raise BadInput(f"{card.name}: float32 and bfloat16 agree on no answer of the first puzzles: nothing to record")
    golden = Golden(task.spec.id, task.spec.version, split, used, dict(islice(agreed.items(), count)))
    return write_text(card.folder / FILE, json.dumps({"format": FORMAT, **asdict(golden)}, indent=1) + "\n")


def check_golden(card: Card, device: str = "auto") -> Check:
    """Whether the weights answer the card's golden puzzles on ``device`` as when it was made, cell by cell."""
    try:
        golden = read_golden(card)
        task = task_of(card.task)
        if (golden.task, golden.task_version) != (task.spec.id, task.spec.version):
            made = f"task {golden.task} version {golden.task_version}"
            return Check("golden", False, f"made with {made}, this is {task.spec.id} version {task.spec.version}")
        puzzles = [puzzle for puzzle in task.puzzles(golden.split) if puzzle.id in golden.answers]
        found = _answers(card, task, puzzles, golden.steps, "float32", device)[1]
    except DataMissing as error:
        return Check("golden", True, f"not answered here: {error}", skipped=True)
    except HarnessError as error:
        return Check("golden", False, str(error))
    wrong = [name for name, answer in golden.answers.items() if found.get(name) != answer]
    of = f"{len(golden.answers)} answers after {golden.steps} steps"
    told = f"other grids for {', '.join(wrong)}" if wrong else "the same grids"
    return Check("golden", not wrong, f"{of}: {told}")


def read_golden(card: Card) -> Golden:
    """The golden outputs of a card. ``BadInput`` for a missing or damaged file."""
    file = card.folder / card.golden
    data = read_json(file)
    try:
        if data.pop("format") != FORMAT or not data["answers"]:
            raise BadInput(f"{file}: holds no golden outputs of format {FORMAT}")
        return Golden(**data)
    except (KeyError, TypeError) as error:
        raise BadInput(f"{file}: is damaged ({error}): get it again") from None


def _answers(
    card: Card, task: Task, puzzles: Sequence[Puzzle], steps: int | None, dtype: str, device: str = "auto"
) -> tuple[int, dict[str, str]]:
    """Steps run, and the single-pass answers by puzzle id."""
    launch = Launch(task.spec.id, card.architecture, card=card.name, device=resolve_device(device), dtype=dtype)
    plan = InferencePlan(split=task.spec.default_split)
    model, _ = load(launch, task, plan, card, weights_path(card))
    steps = steps or model.steps
    finals = {row.puzzle: row.answers[-1] for row in ask(task, model, puzzles, StepOptions(steps))}
    return steps, {name: "" if grid is None else grid_text(grid) for name, grid in finals.items()}

"""What a filed record says, held against the registry, its answers and its weights' card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trm_harness.contracts import Task
from trm_harness.errors import HarnessError
from trm_harness.evaluate.stored import StoredPlan
from trm_harness.filing.films import strange
from trm_harness.filing.scores import Data, differing, filed_task, rescored
from trm_harness.hub import cache_only
from trm_harness.launch import guard, stored_launch
from trm_harness.leaderboard.archive import read_films
from trm_harness.leaderboard.check import Finding
from trm_harness.record import RunRecord, read
from trm_harness.registry import default
from trm_harness.zoo import cards


def prove(folder: Path, place: str, data: Data) -> Iterator[Finding]:
    """Whether task and model exist, the scores follow from the answers, and the films show those answers."""
    record, registry = read(folder), default()
    for kind, names, name in (("task", registry.tasks, record.task.id), ("model", registry.models, record.model.id)):
        if name not in names:
            yield Finding(place, f"no plugin registers {kind} {name!r}")
            return
    version = registry.tasks.spec(record.task.id).version
    if version != record.task.version:
        told = f"not scored again here: it is of version {record.task.version} of the task, this is version {version}"
        yield Finding(place, told, problem=False)
        return
    try:
        found, task = rescored(folder, data)
    except HarnessError as error:
        # Data that is not here proves nothing against the record; everything else does.
        missing = _without_data(folder, data)
        hint = f"; --data {record.task.id}=DIR or `trm-harness tasks pull {record.task.id}` brings the data"
        yield Finding(place, f"not scored again here: {error}{hint if missing else ''}", problem=not missing)
        return
    wrong = differing(record, found)
    if wrong:
        yield Finding(place, f"its {', '.join(wrong)} do not follow from its answers")
    yield from (Finding(place, text) for text in _task_facts(folder, record, task))
    if strange(folder, task, [dict(film) for film in read_films(folder)]):
        yield Finding(place, "its films do not show its answers")


def _without_data(folder: Path, data: Data) -> bool:
    """Whether the puzzles of a run's task cannot be had here."""
    try:
        with cache_only():
            filed_task(folder, data).source(read(folder).task.split)
    except HarnessError:
        return True
    return False


def _task_facts(folder: Path, record: RunRecord, task: Task) -> Iterator[str]:
    """What the record says of the split, of its part of it, and of what the weights saw of it."""
    source, told, chosen = task.source(record.task.split), record.task, record.selection
    if (told.split_groups, told.split_puzzles) != (source.n_groups, source.n_puzzles):
        yield f"it says the split has {told.split_groups} groups and {told.split_puzzles} puzzles; it has others"
    selection = StoredPlan.load(folder).check_task(task)
    hidden = sum(puzzle.answer is None for puzzle in selection)
    if (chosen.groups, chosen.puzzles, chosen.hidden) != (selection.groups, len(selection), hidden):
        yield "it was asked another number of puzzles than it says"
    yield from _weights_facts(folder, record, task)


def _weights_facts(folder: Path, record: RunRecord, task: Task) -> Iterator[str]:
    """The card holds these weights, and its declaration compared with the puzzles gives what the record says."""
    model, told = record.model, record.contamination
    card = cards(default()).get(model.card)
    if card and card.sha256 != model.weights_sha256:
        yield f"card {model.card} holds other weights (sha256 {card.sha256[:12]})"
    if model.untrained or not model.weights_sha256 or told is None:
        return
    plan = StoredPlan.load(folder)
    declared = {"name": model.card or model.id, "training": record.training.model_dump(mode="json")}
    found = guard(task, plan.plan, stored_launch(plan.launch, folder), declared, allowed=True)
    if (found.status, found.puzzles) != (told.status, told.puzzles):
        yield f"its puzzles against its declared training data are {found.status} here, {told.status} in the record"

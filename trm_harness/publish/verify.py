"""What a filed record says, held against the registry, its answers and its weights' card."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

from trm_harness.contracts import Task
from trm_harness.errors import HarnessError
from trm_harness.files.hub import cache_only
from trm_harness.inference import Selection
from trm_harness.inference.plan_file import StoredPlan
from trm_harness.leaderboard.archive import read_films
from trm_harness.leaderboard.check import Finding
from trm_harness.loading import guard, stored_launch
from trm_harness.publish.replays import strange
from trm_harness.publish.rescore import Data, differing, filed_task, rescored
from trm_harness.record import ContaminationEntry, RunRecord, read
from trm_harness.registry import default
from trm_harness.zoo import Card, cards

_WITHOUT_NETWORK = ("solver", "trivial")


@dataclass
class Shared:
    """What the proofs of several records share, made once.

    Tasks by id, cards by name, and what the guard found for the same plan, data, weights and training, by their text.
    """

    tasks: dict[str, Task] = field(default_factory=dict)
    guarded: dict[str, ContaminationEntry] = field(default_factory=dict)

    @cached_property
    def cards(self) -> dict[str, Card]:
        """Every card by name."""
        return cards(default())


def prove(folder: Path, place: str, data: Data, shared: Shared | None = None) -> Iterator[Finding]:
    """Whether task and model exist, the scores follow from the answers, and the films show those answers.

    ``shared`` serves the proofs of other records too.
    """
    record, registry, shared = read(folder), default(), shared or Shared()
    for kind, names, name in (("task", registry.tasks, record.task.id), ("model", registry.models, record.model.id)):
        if name not in names:
            yield Finding(place, f"no plugin registers {kind} {name!r}")
            return
    yield from (Finding(place, text) for text in _model_facts(record, shared))
    yield from (Finding(place, text, problem=False) for text in _names(record))
    version = registry.tasks.spec(record.task.id).version
    if version != record.task.version:
        told = f"not scored again here: it is of version {record.task.version} of the task, this is version {version}"
        yield Finding(place, told, problem=False)
        return
    try:
        found, task = rescored(folder, data, shared.tasks)
    except HarnessError as error:
        # Data that is not here proves nothing against the record; everything else does.
        missing = _without_data(folder, data)
        hint = f"; --data {record.task.id}=DIR or `trm-harness tasks pull {record.task.id}` brings the data"
        yield Finding(place, f"not scored again here: {error}{hint if missing else ''}", problem=not missing)
        return
    wrong = differing(record, found)
    if wrong:
        yield Finding(place, f"its {', '.join(wrong)} do not follow from its answers")
    yield from (Finding(place, text) for text in _task_facts(folder, record, task, shared))
    if strange(folder, task, [dict(film) for film in read_films(folder)]):
        yield Finding(place, "its films do not show its answers")


def _model_facts(record: RunRecord, shared: Shared) -> Iterator[str]:
    """What the record says of its model and not the registry, or not the card of its weights."""
    model, spec = record.model, default().models.spec(record.model.id)
    if model.family != spec.family:
        yield f"it says its model is of family {model.family!r}, the registry says {spec.family!r}"
    if (spec.trainable or spec.needs_weights) and not model.weights_sha256 and not model.untrained:
        yield "it names no weights and does not say that the model was untrained: where its answers come from is open"
    if spec.family in _WITHOUT_NETWORK and model.network_parameters:
        yield f"a model of family {spec.family!r} has no {model.network_parameters:,} parameters"
    other = next((card for card in shared.cards.values() if card.sha256 and card.sha256 == model.weights_sha256), None)
    if other and model.card not in ("", other.name):
        yield f"its weights are those of the card {other.name}: evaluate them by that name"
    card = shared.cards.get(model.card)
    if card is None or not card.sha256 or card.sha256 != model.weights_sha256:
        return
    told = (model.network_parameters, model.puzzle_table_parameters, model.touched_per_puzzle)
    size = (card.parameters.network, card.parameters.puzzle_table, card.parameters.touched_per_puzzle)
    if told != size:
        yield f"it says {told[0]:,} + {told[1]:,} parameters, the card of its weights {size[0]:,} + {size[1]:,}"
    declared = {use.sha256 or use.name for use in card.training.data} | set(card.training.extra_data)
    said = {use.sha256 or use.name for use in record.training.data} | set(record.training.extra_data)
    if declared - said:
        yield f"it leaves out training data that the card of its weights declares: {min(declared - said)}"


def _names(record: RunRecord) -> Iterator[str]:
    """Titles and a paper that the registry does not have: a plugin may have renamed its own, so this is no problem."""
    for kind, told, spec in (
        ("task", record.task, default().tasks.spec(record.task.id)),
        ("model", record.model, default().models.spec(record.model.id)),
    ):
        for name in ("title", "paper"):
            said, known = getattr(told, name, ""), getattr(spec, name, "")
            if said and said != known:
                yield f"it calls the {name} of its {kind} {said[:60]!r}, the registry {known[:60]!r}"


def _without_data(folder: Path, data: Data) -> bool:
    """Whether the puzzles of a run's task cannot be had here."""
    try:
        with cache_only():
            filed_task(folder, data).source(read(folder).task.split)
    except HarnessError:
        return True
    return False


def _task_facts(folder: Path, record: RunRecord, task: Task, shared: Shared) -> Iterator[str]:
    """What the record says of the split, of its part of it, and of what the weights saw of it."""
    source, told, chosen = task.source(record.task.split), record.task, record.selection
    if (told.split_groups, told.split_puzzles) != (source.n_groups, source.n_puzzles):
        yield f"it says the split has {told.split_groups} groups and {told.split_puzzles} puzzles; it has others"
    selection = StoredPlan.load(folder).check_task(task)
    if (chosen.groups, chosen.puzzles, chosen.hidden) != (selection.groups, len(selection), selection.hidden):
        yield "it was asked another number of puzzles than it says"
    yield from _weights_facts(folder, record, task, selection, shared)


def _weights_facts(folder: Path, record: RunRecord, task: Task, selection: Selection, shared: Shared) -> Iterator[str]:
    """The card holds these weights, and its declaration compared with the puzzles gives what the record says."""
    model, told = record.model, record.contamination
    card = shared.cards.get(model.card)
    if card and card.sha256 != model.weights_sha256:
        yield f"card {model.card} holds other weights (sha256 {card.sha256[:12]})"
    if model.untrained or not model.weights_sha256 or told is None:
        return
    stored = StoredPlan.load(folder)
    declared = {"name": model.card or model.id, "training": record.training.model_dump(mode="json")}
    question = json.dumps([asdict(stored.plan), stored.task, stored.data_sha256, stored.launch, declared], default=str)
    if question not in shared.guarded:
        launch = stored_launch(stored.launch, folder)
        shared.guarded[question] = guard(task, record.task.split, selection, launch, declared, allowed=True)
    found = shared.guarded[question]
    if not bears_out(found, told):
        yield f"its puzzles against its declared training data are {found.status} here, {told.status} in the record"


def bears_out(found: ContaminationEntry, told: ContaminationEntry) -> bool:
    """Whether what the guard finds here says what the record says.

    What could not be compared when the record was made may have been compared here: it was clean then too.
    """
    known_since = (told.status, found.status) == ("incomplete", "clean")
    return found.puzzles == told.puzzles and (found.status == told.status or known_since)

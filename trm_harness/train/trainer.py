"""The contract of trainers: a function that takes one job and returns one result.

A trainer's target is ``train(job: TrainerJob) -> TrainResult``. Most of them bring an engine and leave the rest to the
shared loop (:func:`trm_harness.train.loop.fit_job`)::

    def train(job):
        return fit_job(job, MyEngine(job.model.network, job.recipe))
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from trm_harness import machine
from trm_harness.contracts import Trainable, TrainingSource
from trm_harness.errors import BadInput, PluginError
from trm_harness.train.engine import Engine
from trm_harness.train.learner import Learner
from trm_harness.train.recipe import Recipe

Validate = Callable[[Any, int, int], Mapping[str, float]]
"""``(model, rank, world)`` to sums over this process's share of the held-out puzzles: ``n`` and each measure."""


@dataclass(frozen=True)
class Settings:
    """How a run is carried out, as against what it computes (that is the recipe's).

    A checkpoint every ``every`` seconds and every ``every_steps`` steps (0: by the clock alone), the last ``keep`` of
    them kept (0: all). ``seconds`` ends this session, ``workers`` processes draw batches ahead of time (``None``: one,
    if training would wait for them), ``compile`` ``False`` overrules the recipe's, ``sinks`` get the metrics besides
    ``metrics.jsonl``. ``engine`` is the trainer's own business: ``config``, the path of ``--deepspeed-config``, is the
    one key that the command line sets.
    """

    every: float = 300.0
    every_steps: int = 0
    keep: int = 2
    seconds: float = math.inf
    workers: int | None = None
    compile: bool = True
    sinks: tuple[str, ...] = ()
    engine: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in (("seconds", self.seconds), ("seconds between checkpoints", self.every)):
            if not value >= 0:
                raise BadInput(f"{name} must be a number from 0 up, not {value}")
        machine.check_processes(self.workers or 0)


@dataclass(frozen=True)
class Watch:
    """Who is told, all of them functions that return nothing.

    ``started`` gets the process's rank once, when everything is checked and no step was taken: the run's ``train.json``
    is written then. ``report`` gets each row of metrics: a step's has ``step`` from 1 and ``loss``, and every other
    number in it is shown on the console under its name; a validation's has ``step``, ``validation`` (``n`` and the
    measures) and ``validation_seconds``. ``say`` gets each message to the user.
    """

    report: Callable[[dict[str, Any]], None] = lambda row: None
    say: Callable[[str], None] = lambda message: None
    started: Callable[[int], None] = lambda rank: None


@dataclass(frozen=True, eq=False)
class TrainerJob:
    """All that a trainer gets for one session of training.

    ``model`` is to be trained on ``source`` as ``recipe`` says; what comes of it goes into the folder ``out``, which is
    there. ``resume`` goes on from the newest checkpoint in it, or from the beginning where there is none. ``validate``
    measures the model on what is held out, ``None`` if the recipe does not ask for it.
    """

    model: Trainable
    source: TrainingSource
    recipe: Recipe
    out: Path
    resume: bool = False
    validate: Validate | None = None
    settings: Settings = field(default_factory=Settings)
    watch: Watch = field(default_factory=Watch)

    def learner(self, engine: Engine | None = None) -> Learner:
        """What takes one optimizer step at a time (``advance``), around ``engine``, by default the plain torch one.

        ``BadInput`` if the batch does not divide among the engine's processes.
        """
        return Learner(self.model, self.source, self.recipe, engine)


@dataclass(frozen=True)
class TrainResult:
    """What came of a session: the run's totals, those of earlier sessions included.

    ``stopped`` is ``finished``, ``stopped early`` (by patience), ``out of time`` or ``interrupted``. ``validation`` is
    that of the last step, ``best`` the accuracy and step of the best validation; both are empty if there was none.
    ``rank`` is this process's, of ``processes``; only rank 0 writes. ``own`` is what the trainer adds: it goes into
    ``train.json`` beside the rest, and its numbers and words are shown at the end.
    """

    steps: int
    seconds: float
    cpu_seconds: float
    examples: int
    stopped: str
    processes: int = 1
    peak_memory_bytes: int = 0
    validation: Mapping[str, float] = field(default_factory=dict)
    best: Mapping[str, float] = field(default_factory=dict)
    rank: int = 0
    own: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As it stands in ``train.json``; ``own`` last, without a name of its own."""
        names = ("steps", "seconds", "cpu_seconds", "examples", "processes", "stopped", "peak_memory_bytes")
        return {name: getattr(self, name) for name in (*names, "validation", "best")} | dict(self.own)


class Trainer(Protocol):
    """A trainer's target."""

    def __call__(self, job: TrainerJob) -> TrainResult:
        """Train to the recipe's end, or until ``job.settings.seconds`` are over, and always leave a checkpoint.

        Leaves ``weights.safetensors`` (average), ``weights-raw.safetensors``, ``metrics.jsonl`` and ``checkpoints/``
        in ``job.out``. A stopped run that is resumed must end in the weights of an uninterrupted one, to the bit.
        ``CheckFailed`` if the loss runs away.
        """
        ...


def call(trainer: Trainer, job: TrainerJob, name: str) -> TrainResult:
    """What ``trainer`` makes of ``job``. ``PluginError`` naming it if it does not keep the contract."""
    try:
        inspect.signature(trainer).bind(job)
    except TypeError:
        how = "let its target be train(job) -> TrainResult, as in trm_harness.train.trainer"
        raise PluginError(f"trainer {name} does not take one job: {how}") from None
    done = trainer(job)
    if not isinstance(done, TrainResult):
        raise PluginError(f"trainer {name} returned {type(done).__name__}: return a TrainResult")
    return done


def own_values(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a trainer added to the ``result`` of a ``train.json``, its numbers and words."""
    shared = {field.name for field in dataclasses.fields(TrainResult)}
    return {
        name: value for name, value in result.items() if name not in shared and isinstance(value, int | float | str)
    }

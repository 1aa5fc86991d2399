"""Specs: what a plugin declares. Pure data, so that listing a thousand tasks imports none of them.

``target`` is ``"module:attribute"``, imported on first use by the registry. The objects behind the targets keep the
contracts of :mod:`trm_harness.contracts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from trm_harness.errors import UnknownName


@dataclass(frozen=True)
class TaskSpec:
    """A task: ``target(spec, data=None) -> Task``, where ``data`` is the folder of ``--data`` or ``None``.

    ``version`` is bumped whenever behaviour changes. ``vocab_size`` and ``seq_len`` are those of the full encoding.
    ``attempts`` is the number of answers a solver may give; ``headline`` names the score that ranks
    (``pass@2``, ``exact``); ``rules`` are the scoring rules to print, the first one the headline's.
    ``description`` is what a language model is told of the puzzle, after the title, unless ``options["instructions"]``
    says it better. ``options`` are keyword facts for the target (subset names, sizes).

    ``relations`` name what touches what on a square board, see :mod:`trm_harness.relations`; ``symbols`` are the first
    of the tokens that may be renamed at will, and their number (Sudoku's digits). Both serve networks that use them.
    """

    id: str
    version: int
    target: str
    title: str
    description: str
    vocab_size: int
    seq_len: int
    splits: tuple[str, ...] = ("test",)
    default_split: str = "test"
    attempts: int = 1
    headline: str = "exact"
    rules: tuple[str, ...] = ("puzzles",)
    family: str = ""
    has_identities: bool = False
    relations: tuple[str, ...] = ()
    symbols: tuple[int, int] = (0, 0)
    options: Mapping[str, Any] = field(default_factory=dict)

    def checked_split(self, split: str | None) -> str:
        """``split``, or the task's default for ``None``. Raises ``UnknownName`` for one the task does not have."""
        if split is None or split in self.splits:
            return split or self.default_split
        raise UnknownName(f"task {self.id!r} has no split {split!r}: use {' or '.join(self.splits)}")


@dataclass(frozen=True)
class ModelSpec:
    """A model: ``target(request: ModelRequest) -> Model``.

    ``family`` is one of ``recursive``, ``direct``, ``solver``, ``llm``, ``trivial``. ``tasks`` are fnmatch patterns
    of task ids it can answer. ``config`` is the architecture in the field's terms; ``needs_weights`` says whether it
    is nothing without a checkpoint, ``reads`` the endings of the weights files that it takes (the harness checks what
    ends in ``.safetensors`` before the model sees it). ``trainable`` names a second target, ``(request) -> Model and
    Trainable``, if torch trainers can train it. ``needs`` names fields of a task's spec that must say something
    (``relations``).
    """

    id: str
    version: int
    target: str
    title: str
    description: str
    family: str
    tasks: tuple[str, ...] = ("*",)
    needs: tuple[str, ...] = ()
    needs_weights: bool = False
    trainable: str = ""
    paper: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    reads: tuple[str, ...] = (".safetensors",)

    def reads_itself(self, weights: str) -> bool:
        """Whether the model alone knows what to make of a file of that name: any but safetensors."""
        endings = tuple(ending for ending in self.reads if ending != ".safetensors")
        return bool(endings) and weights.endswith(endings)

    def answers(self, task: TaskSpec) -> bool:
        """Whether the model declares that it can answer ``task``."""
        named = any(fnmatchcase(task.id, pattern) for pattern in self.tasks)
        return named and all(getattr(task, name, ()) for name in self.needs)


@dataclass(frozen=True)
class TrainerSpec:
    """A trainer: ``target(job) -> TrainResult``, both of :mod:`trm_harness.train.trainer`, where the contract stands.

    ``launch`` names a second target, ``(job, out, *, resume, settings, command, processes, launcher, hostfile) -> exit
    code``, if the trainer can start several processes of its own; the last three are the command line's options.
    """

    id: str
    version: int
    target: str
    title: str
    description: str
    launch: str = ""


@dataclass(frozen=True)
class CardsSpec:
    """A folder of zoo cards, ``<arch.tag>/card.toml`` each, inside an importable package or on disk.

    ``target`` is ``"module:attribute"`` of a function that returns the folder's path.
    """

    id: str
    target: str


@dataclass(frozen=True)
class ClaimsSpec:
    """A folder of CSV files of scores that others published; ``target`` is as for :class:`CardsSpec`."""

    id: str
    target: str

"""Specs: what a plugin declares. Pure data, so that listing a thousand tasks imports none of them.

``target`` is ``"module:attribute"``, imported on first use by the registry. The objects behind the targets keep the
contracts of :mod:`trm_harness.contracts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TaskSpec:
    """A task: ``target(spec, data=None) -> Task``, where ``data`` is the folder of ``--data`` or ``None``.

    ``version`` is bumped whenever behaviour changes. ``vocab_size`` and ``seq_len`` are those of the full encoding.
    ``attempts`` is the number of answers a solver may give; ``headline`` names the score that ranks
    (``pass@2``, ``exact``); ``rules`` are the scoring rules to print, the first one the headline's.
    ``options`` are keyword facts for the target (subset names, sizes).
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
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelSpec:
    """A model: ``target(request: ModelRequest) -> Model``.

    ``family`` is one of ``recursive``, ``direct``, ``solver``, ``llm``, ``trivial``. ``tasks`` are fnmatch patterns
    of task ids it can answer. ``config`` is the architecture in the field's terms; ``needs_weights`` says whether it
    is nothing without a checkpoint. ``trainable`` names a second target, ``(request) -> Model and Trainable``, if torch
    trainers can train it.
    """

    id: str
    version: int
    target: str
    title: str
    description: str
    family: str
    tasks: tuple[str, ...] = ("*",)
    needs_weights: bool = False
    trainable: str = ""
    paper: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainerSpec:
    """A trainer: ``target(model, source, recipe, out, *, resume, seconds, report, say, validate, settings, started)``.

    ``model`` keeps ``Model`` and ``Trainable``, ``source`` keeps ``TrainingSource``; both are in the contracts.
    ``report`` gets every row of metrics, ``say`` every message, ``validate`` is ``(model, rank, world) -> sums`` or
    ``None``, ``settings`` those of :mod:`trm_harness.train.loop`; ``started(rank)`` is called once, when everything is
    checked and no step was taken. It returns steps, seconds and whatever else belongs in ``train.json`` (with
    ``rank`` where there are several processes).

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

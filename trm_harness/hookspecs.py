"""The hooks. ``register_*`` declare data; the other three observe and can never fail a run.

A plugin is an installed distribution with an entry point in the group ``trm_harness`` that names its manifest
module. A manifest may import ``trm_harness`` (the package root) and the standard library only, and costs under 50 ms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

    from trm_harness.specs import CardsSpec, ClaimsSpec, ModelSpec, TaskSpec, TrainerSpec

PROJECT = "trm_harness"

API_VERSION = 1
"""Version of the plugin API: the hooks, the specs and the contracts. A manifest states the one that it was written for
as ``PLUGIN_API``; it is raised when something that plugins rely on changes its meaning or goes."""

OLDEST_API = 1
"""Oldest version of the API whose plugins still work here."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_tasks(register: Callable[[TaskSpec], None]) -> None:
    """Declare tasks: call ``register(TaskSpec(...))`` once for each."""


@hookspec
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Declare models: call ``register(ModelSpec(...))`` once for each."""


@hookspec
def register_trainers(register: Callable[[TrainerSpec], None]) -> None:
    """Declare trainers: call ``register(TrainerSpec(...))`` once for each."""


@hookspec
def register_cards(register: Callable[[CardsSpec], None]) -> None:
    """Declare folders of zoo cards: call ``register(CardsSpec(...))`` once for each."""


@hookspec
def register_claims(register: Callable[[ClaimsSpec], None]) -> None:
    """Declare folders of published scores: call ``register(ClaimsSpec(...))`` once for each."""


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add commands to the ``trm-harness`` group."""


@hookspec
def run_started(run: Any) -> None:
    """A run's folder exists and its record says ``started``; ``run`` is a read-only view of the record."""


@hookspec
def batch_predicted(run: Any, batch: Any) -> None:
    """A batch's predictions are in the journal; ``batch`` is a read-only tuple of journal rows."""


@hookspec
def run_finished(run: Any, record: Any) -> None:
    """A run ended, well or not; ``record`` is a read-only view of its final record."""

"""Manifest of the plugin ``zoo``: the shipped cards and reported scores come in by the same door as anybody's."""

from __future__ import annotations

from collections.abc import Callable

from trm_harness.hookspecs import hookimpl
from trm_harness.specs import CardsSpec, ClaimsSpec

PLUGIN_API = 1


@hookimpl
def register_cards(register: Callable[[CardsSpec], None]) -> None:
    """The zoo cards that ship with the package, and the user's own."""
    register(CardsSpec(id="zoo", target="trm_harness.files.paths:zoo"))
    register(CardsSpec(id="own", target="trm_harness.files.paths:own_zoo"))


@hookimpl
def register_claims(register: Callable[[ClaimsSpec], None]) -> None:
    """The published scores that ship with the package."""
    register(ClaimsSpec(id="reported", target="trm_harness.files.paths:reported"))

"""The laws that every model keeps, one test each. A failure says what to change."""

from __future__ import annotations

from trm_harness.testing import Check, parametrize_with_checks


@parametrize_with_checks("automaton")
def test_laws(check: Check) -> None:
    check()

"""``trm-harness runs verify``: a second run compared with the first, printed and noted beside the record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trm_harness.cli.options import echo_json
from trm_harness.errors import CheckFailed

if TYPE_CHECKING:
    from trm_harness.leaderboard.archive import CheckEntry
    from trm_harness.publish import Machine


def run_verify(folder: Path, sample: int, here: Machine, as_json: bool) -> None:
    """Answer ``sample`` groups (0: all) again, compare, print, and note it in ``verification.json``.

    ``CheckFailed`` if a puzzle is right in one run and wrong in the other, after the note is written.
    """
    from trm_harness.evaluate import Watchers
    from trm_harness.leaderboard.archive import add_check
    from trm_harness.progress import progress
    from trm_harness.publish import run_again
    from trm_harness.record import read

    with progress() as show:
        found, different = run_again(folder, sample, here, Watchers(progress=show))
    add_check(folder, found)
    name = read(folder).id
    if as_json:
        echo_json(found.model_dump() | {"passed": found.passed, "different": different})
    else:
        click.echo(_text(name, found, different))
    if not found.passed:
        raise CheckFailed(f"run {name} is not borne out: {found.puzzles - found.agree} puzzles came out otherwise")


def _text(name: str, found: CheckEntry, different: list[str]) -> str:
    """What the comparison found, in a few lines."""
    named = f": {', '.join(different[:5])}{', ...' if len(different) > 5 else ''}" if different else ""
    return "\n".join(
        [
            f"run       {name}",
            f"answered  {found.puzzles:,} of {found.of:,} puzzles again, on {found.device}",
            f"grids     {found.equal:,} of {found.grids:,} equal in every cell{named}",
            f"verdicts  {found.agree:,} of {found.puzzles:,} puzzles right in both runs or wrong in both",
        ]
    )

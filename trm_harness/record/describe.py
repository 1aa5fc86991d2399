"""A protocol and a selection in words: the same ones on a terminal, on the leaderboard and on its pages.

All take the JSON form of a record's entries, older ones too, so that a run can be shown without checking it first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

SERVICE = "service, training unknown"
"""What stands where weights and their training data would, if somebody else's machine answered."""

OWN_FILES = " (own data "
"""Stands in the name of training data that a user's own files held, before the name of the file or folder."""

HALTLESS = ("trivial", "llm")
"""Families of models whose halting score is the same for every answer: it says nothing and is not shown."""


def is_service(family: str) -> bool:
    """Whether models of a family answer behind an endpoint, with weights and a machine that nobody here sees."""
    return family == "llm"


def protocol(told: Mapping[str, Any], network: bool = True, family: str = "") -> str:
    """How answers were made: ``2 attempts, 8 views vote, 16 full steps, float32``.

    A number format is said of networks only.
    """
    return ", ".join(_protocol(told, network, family))


def answers(views: int, restarts: int, family: str = "") -> dict[str, int]:
    """What is counted of a puzzle's answers, for :func:`pooled`: a service has no trajectories, it gives samples."""
    return {"view": views, "sample" if is_service(family) else "trajectory": restarts}


def selection(told: Mapping[str, Any], task: Mapping[str, Any]) -> str:
    """What was asked: ``2 of 400 groups, drawn at random, 3 of 419 puzzles``."""
    drawn = ", drawn at random" if told.get("sample") else ""
    hidden = f"; {told['hidden']:,} answers are hidden and not scored" if told["hidden"] else ""
    puzzles = f"{told['puzzles']:,} of {task['split_puzzles']:,} puzzles"
    return f"{told['groups']:,} of {task['split_groups']:,} groups{drawn}, {puzzles}{hidden}"


def views(told: Mapping[str, Any]) -> int:
    """Views that voted."""
    return told.get("voting_views") or told["views"]


def single(told: Mapping[str, Any]) -> str:
    """What curves and measures rest on: the first trajectory of the identity view."""
    return "one noisy trajectory" if told.get("noise") else "single pass"


def pooled(counts: Mapping[str, int], select: str) -> str:
    """What an answer was made of: ``8 views vote``, ``2 views x 8 trajectories, highest halting logit``."""
    words = [counted(count, name) for name, count in counts.items() if count > 1]
    if not words:
        return "1 view"
    return f"{' x '.join(words)}{', highest halting logit' if select == 'halt' else ' vote'}"


def counted(count: int, name: str) -> str:
    """``1 view``, ``8 views``, ``4 trajectories``."""
    return f"{count:,} {name if count == 1 else name.removesuffix('y') + ('ies' if name.endswith('y') else 's')}"


def _protocol(told: Mapping[str, Any], network: bool, family: str) -> Iterator[str]:
    if told["attempts"] > 1:
        yield counted(told["attempts"], "attempt")
    yield pooled(answers(views(told), told.get("restarts", 1), family), told.get("select", "mode"))
    if told.get("noise"):
        yield f"noise {told['noise']:g} on the latent before each step"
    yield _depth(told)
    if network:
        yield told["dtype"] + (" compiled" if told.get("compiled") else "")
    if told.get("adapt"):
        how = learning(told["adapt"], told["adapt_steps"], told.get("adapt_lr"), told.get("adapt_settings", {}))
        yield f"adapted to each task ({how})"


def learning(mode: str, steps: int, lr: float | None, settings: Mapping[str, Any]) -> str:
    """How each task was learnt, in one line: ``full, 200 steps, rate 0.02, optimizer muon``."""
    rate = [f"rate {lr:g}"] if lr else []
    return ", ".join([mode, f"{steps} steps", *rate, *(f"{name} {value}" for name, value in settings.items())])


def _depth(told: Mapping[str, Any]) -> str:
    if told["steps"] == 1:
        return "1 step"
    if told["halt"] == "full":
        return f"{told['steps']} full steps"
    if told["halt"] == "settled":
        return f"{told['steps']} steps until settled (halting above {told['halt_above']:g})"
    return f"{told['steps']} {told['halt']} steps (halting above {told.get('halt_above', 0.5):g})"

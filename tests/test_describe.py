"""A protocol in words: what decides how a score is read stands in it, once, and defaults stay out of the way."""

from __future__ import annotations

from typing import Any

import pytest

from trm_harness.record import ProtocolEntry, describe

PLAIN = {"attempts": 1, "augment": 1, "views": 1, "steps": 16, "halt": "full"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "1 view, 16 full steps, float32"),
        ({"attempts": 2, "views": 8}, "2 attempts, 8 views vote, 16 full steps, float32"),
        ({"views": 8, "voting_views": 4}, "4 views vote, 16 full steps, float32"),
        ({"views": 2, "restarts": 3}, "2 views x 3 trajectories vote, 16 full steps, float32"),
        (
            {"restarts": 3, "select": "halt", "noise": 0.3},
            "3 trajectories, highest halting logit, noise 0.3 on the latent before each step, 16 full steps, float32",
        ),
        ({"halt": "adaptive", "halt_above": 0.9}, "1 view, 16 adaptive steps (halting above 0.9), float32"),
        ({"halt": "settled", "halt_above": 0.3}, "1 view, 16 steps until settled (halting above 0.3), float32"),
        ({"dtype": "bfloat16", "compiled": True}, "1 view, 16 full steps, bfloat16 compiled"),
        ({"steps": 1}, "1 view, 1 step, float32"),
        ({"adapt": "full", "adapt_steps": 9}, "1 view, 16 full steps, float32, adapted to each task (full, 9 steps)"),
    ],
)
def test_a_protocol_is_told_in_one_line(changes: dict[str, Any], words: str) -> None:
    told = ProtocolEntry(**PLAIN | changes).model_dump(mode="json")
    assert describe.protocol(told) == words


def test_a_service_gives_samples_and_no_trajectories() -> None:
    told = ProtocolEntry(**PLAIN | {"steps": 1, "restarts": 3, "attempts": 2}).model_dump(mode="json")
    assert describe.protocol(told, network=False, family="llm") == "2 attempts, 3 samples vote, 1 step"


def test_a_selection_says_when_it_was_drawn() -> None:
    chosen, task = {"groups": 2, "puzzles": 3, "hidden": 0}, {"split_groups": 400, "split_puzzles": 419}
    assert describe.selection(chosen, task) == "2 of 400 groups, 3 of 419 puzzles"
    drawn = describe.selection(chosen | {"sample": 2, "hidden": 1}, task)
    assert drawn == "2 of 400 groups, drawn at random, 3 of 419 puzzles; 1 answers are hidden and not scored"


def test_a_number_format_is_said_of_networks_only() -> None:
    told = ProtocolEntry(**PLAIN | {"steps": 1}).model_dump(mode="json")
    assert describe.protocol(told, network=False) == "1 view, 1 step"

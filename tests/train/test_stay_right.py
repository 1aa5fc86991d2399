"""Rows that were right a step before count more, so that an answer that was found is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.train.tiny import parts, recipe
from trm_harness.nn.losses import stablemax_cross_entropy, supervision_loss
from trm_harness.train import learner as learning
from trm_harness.train.checkpoint import load_checkpoint, save_checkpoint
from trm_harness.train.learner import Learner


def test_row_weights_count_in_the_total_alone() -> None:
    dice = torch.Generator().manual_seed(0)
    logits, halt = torch.randn(3, 4, 6, generator=dice), torch.randn(3, 2, generator=dice)
    labels, weights = torch.randint(0, 6, (3, 4), generator=dice), torch.tensor([1.0, 11.0, 1.0])
    state = torch.ones(3, dtype=torch.bool), torch.ones(3)
    plain = supervision_loss(logits, halt, labels, *state)
    weighted = supervision_loss(logits, halt, labels, *state, row_weights=weights)
    more = 10 * float(stablemax_cross_entropy(logits, labels)[1].mean())
    assert float(weighted.total - plain.total) == pytest.approx(more, rel=1e-6)
    assert torch.equal(weighted.answer, plain.answer)


def test_the_rows_that_were_right_weigh_more_while_they_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = recipe(stay_right=10.0, halt_exploration=1.0)
    made, told, right = Learner(*parts(wanted), wanted), [], []

    def watched(*args: object, row_weights: torch.Tensor, **more: object) -> object:
        told.append(row_weights)
        found = supervision_loss(*args, row_weights=row_weights, **more)
        # Every second row counts as right, whatever it says.
        found.correct = torch.arange(8) % 2 == len(told) % 2
        right.append(found.correct)
        return found

    monkeypatch.setattr(learning, "supervision_loss", watched)
    left = torch.ones(8, dtype=torch.bool)
    for step in range(6):
        made.advance()
        stayed = right[step - 1] & ~left if step else torch.zeros(8, dtype=torch.bool)
        assert torch.equal(told[step], 1 + 10.0 * stayed)
        (carry,) = made.carries.values()
        left = carry.halted.clone()
    assert any((weights > 1).any() for weights in told)


def test_a_checkpoint_remembers_who_was_right(tmp_path: Path) -> None:
    wanted = recipe(stay_right=10.0)
    one, other = (Learner(*parts(wanted), wanted) for _ in range(2))
    one.advance()
    (carry,) = one.carries.values()
    carry.right = torch.arange(8) % 3 == 0
    save_checkpoint(tmp_path, one, {})
    load_checkpoint(tmp_path, other)
    (again,) = other.carries.values()
    assert torch.equal(again.right, carry.right)
    assert one.advance() == other.advance()

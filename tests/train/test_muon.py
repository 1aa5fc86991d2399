"""Muon's steps are those of torch's own, and its state goes through a checkpoint's names."""

from __future__ import annotations

import pytest
import torch

from trm_harness.errors import BadInput
from trm_harness.nn.optim import Muon, orthogonal

SHAPES = ((24, 12), (24, 12), (12, 12), (8, 20))


def test_steps_equal_those_of_torch_up_to_bfloat16() -> None:
    start = [torch.randn(shape, generator=torch.Generator().manual_seed(place)) for place, shape in enumerate(SHAPES)]
    mine, theirs = ([torch.nn.Parameter(value.clone()) for value in start] for _ in range(2))
    one = Muon(mine, lr=0.02, weight_decay=0.1)
    other = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for optimizer, values in ((one, mine), (other, theirs)):
        stream = torch.Generator().manual_seed(9)
        for _ in range(4):
            for value in values:
                value.grad = torch.randn(value.shape, generator=stream)
            optimizer.step()
    for a, b, first in zip(mine, theirs, start, strict=True):
        assert float((a - first).detach().abs().max()) > 0.02
        assert float((a - b).detach().abs().max()) < 2e-3
    assert set(one.state[mine[0]]) == {"momentum_buffer"}


def test_orthogonal_matrices_have_singular_values_near_one() -> None:
    given = torch.randn(3, 10, 6, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(given, 5, Muon.NEWTON_SCHULZ))
    assert 0.5 < float(values.min()) <= float(values.max()) < 1.4


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(BadInput, match="Muon"):
        Muon([torch.nn.Parameter(torch.ones(2, 2))], momentum=1.0)

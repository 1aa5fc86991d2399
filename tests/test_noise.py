"""Noise on the latent: normal, repeatable, a row's own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from trm_harness.contracts import ModelRequest, Perturbable
from trm_harness.inference import InferencePlan, select
from trm_harness.inference.plan import Asked, Item, to_batch
from trm_harness.nn.noise import gaussian
from trm_harness.registry import default

CPU = torch.device("cpu")
SEEDS = np.array([0, 1, 2**63 + 5, 2**64 - 1], dtype=np.uint64)


def test_the_values_are_standard_normal_in_every_row() -> None:
    values = gaussian(SEEDS, 1, (400, 512), CPU).double()
    n = values[0].numel()
    for row in values.flatten(1):
        assert abs(row.mean()) < 5 / math.sqrt(n)
        assert abs(row.std() - 1) < 5 / math.sqrt(2 * n)
        # Shares below -2, 0 and 1 of a standard normal distribution.
        for limit, share in ((-2.0, 0.0227501), (0.0, 0.5), (1.0, 0.8413447)):
            assert abs((row < limit).double().mean() - share) < 5 * math.sqrt(share * (1 - share) / n)
    assert 4 < values.abs().max() < 7


def test_rows_steps_and_places_are_independent() -> None:
    first, second = (gaussian(SEEDS, step, (100, 512), CPU).double() for step in (1, 2))
    rows = torch.cat([first.flatten(1), second.flatten(1)])
    shifted = torch.stack([rows[0, 1:], rows[0, :-1]])
    for table in (rows, shifted):
        off = torch.corrcoef(table) - torch.eye(len(table))
        assert off.abs().max() < 5 / math.sqrt(table.shape[1])


def test_a_row_knows_nothing_of_its_neighbours() -> None:
    whole = gaussian(SEEDS, 3, (7, 5), CPU)
    assert whole.shape == (4, 7, 5)
    for place in range(4):
        assert torch.equal(gaussian(SEEDS[place : place + 1], 3, (7, 5), CPU)[0], whole[place])
    assert torch.equal(gaussian(SEEDS[::-1], 3, (7, 5), CPU), whole.flip(0))


def model(name: str, dtype: str) -> Any:
    registry = default()
    task = registry.tasks.spec("sudoku-4x4")
    return registry.models.resolve(name)(ModelRequest(registry.models.spec(name), task, dtype=dtype))


def batch(network: Any) -> Any:
    task = default().task("sudoku-4x4")
    puzzles = list(select(task, InferencePlan("test", limit=3)))
    asked = [
        Asked(Item(i, 0, "", 0), puzzle.without_answer(), task.encode(puzzle, "", network.encoding), 10 + i)
        for i, puzzle in enumerate(puzzles)
    ]
    return to_batch(asked)


@pytest.mark.parametrize("name", ["trm-nano", "hrm-nano", "direct-nano"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_network_takes_noise_on_its_last_latent(name: str, dtype: str) -> None:
    network = model(name, dtype)
    assert isinstance(network, Perturbable)
    rows = batch(network)
    state = network.begin(rows)
    noisy = network.perturb(state, 0.5, rows.seeds, 1)
    *others, latent = state.latents
    assert all(map(torch.equal, others, noisy.latents))
    added = (noisy.latents[-1].float() - latent.float()) / 0.5
    wanted = gaussian(rows.seeds, 1, latent.shape[1:], CPU)
    # Half a unit in the last place of bfloat16 numbers up to 8, over the scale.
    assert (added - wanted).abs().max() < (1e-5 if dtype == "float32" else 2**-6 / 0.5)
    assert noisy.latents[-1].dtype == latent.dtype
    one = network.perturb(network.select(state, [2]), 0.5, rows.seeds[2:], 1)
    assert torch.equal(one.latents[-1][0], noisy.latents[-1][2])

"""Auxiliary labels: learnt besides the answer by networks with a head for them, and by no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from tests.train.tiny import parts, recipe
from trm_harness.errors import BadInput, PluginError
from trm_harness.nn.losses import supervision_loss
from trm_harness.nn.own import OwnNetwork
from trm_harness.nn.supervision import Rows, State, StepOutput
from trm_harness.train.learner import Learner
from trm_harness.train.loop import fit
from trm_harness.train.recipe import Recipe
from trm_harness.train.session import Job, run
from trm_harness.train.trainer import Settings, Watch
from trm_harness.types import IGNORE_LABEL

SMALL = {"hidden_size": 16, "width": 16, "message": 4}
KIND = "stablemax_cross_entropy"


def plan(**changes: object) -> Recipe:
    return recipe(source={"puzzles": 20, "directions": True}, model=SMALL | {"auxiliary": 4}, **changes)


def learner(wanted: Recipe) -> Learner:
    return Learner(*parts(wanted, "trm-message-nano", "maze-8x8"), wanted)


def test_the_loss_is_the_weighted_mean_of_each_rows_labelled_cells() -> None:
    dice = torch.Generator().manual_seed(0)
    logits, halt = torch.randn(3, 4, 6, generator=dice), torch.randn(3, 2, generator=dice)
    further = torch.randn(3, 4, 2, generator=dice)
    labels = torch.randint(0, 6, (3, 4), generator=dice)
    told = torch.tensor([[0, 1, 1, IGNORE_LABEL], [1, IGNORE_LABEL, IGNORE_LABEL, IGNORE_LABEL], [IGNORE_LABEL] * 4])
    state = torch.ones(3, dtype=torch.bool), torch.ones(3)
    plain = supervision_loss(logits, halt, labels, *state)
    with_more = supervision_loss(logits, halt, torch.cat((labels, told), 1), *state, None, KIND, further, 0.5)
    log = further.log_softmax(-1)
    wanted = -(log[0, 0, 0] + log[0, 1, 1] + log[0, 2, 1]) / 3 - log[1, 0, 1]
    assert float(with_more.metrics["auxiliary_loss"]) == pytest.approx(float(wanted), rel=1e-6)
    assert float(with_more.total - plain.total) == pytest.approx(0.5 * float(wanted), rel=1e-6)
    assert torch.equal(with_more.correct, plain.correct)
    # A network without such a head takes the answer's labels alone.
    assert float(supervision_loss(logits, halt, torch.cat((labels, told), 1), *state).total) == float(plain.total)


def test_the_head_learns_and_its_loss_is_logged(tmp_path: Path) -> None:
    wanted = plan()
    made = learner(wanted)
    before = made.network.auxiliary_head.weight.detach().clone()
    fit(made, tmp_path)
    assert not torch.equal(made.network.auxiliary_head.weight, before)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert all(0 < row["auxiliary_loss"] < 3 for row in rows if "loss" in row)
    assert "auxiliary_head.weight" in load_file(tmp_path / "weights.safetensors")


def test_its_weight_is_the_recipes() -> None:
    one, none = (learner(plan(auxiliary_weight=weight)) for weight in (0.3, 0.0))
    losses = [made.advance() for made in (one, none)]
    assert losses[0]["auxiliary_loss"] == losses[1]["auxiliary_loss"] > 0
    assert losses[0]["loss"] - losses[1]["loss"] == pytest.approx(0.3 * losses[0]["auxiliary_loss"], rel=1e-5)


def test_a_resumed_training_is_the_whole_one(tmp_path: Path) -> None:
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    fit(learner(plan()), tmp_path / "whole")
    fit(learner(plan()), tmp_path / "cut", settings=Settings(seconds=0.0))
    fit(learner(plan()), tmp_path / "cut", resume=True)
    one, other = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(one[k], other[k]) for k in one)


def test_a_network_without_the_head_leaves_them_alone() -> None:
    source = {"puzzles": 20, "directions": True}
    told, plain = (learner(recipe(source=given, model=SMALL)) for given in (source, {"puzzles": 20}))
    assert [told.advance() for _ in range(3)] == [plain.advance() for _ in range(3)]


def test_labels_without_a_head_are_told_once(tmp_path: Path) -> None:
    said: list[str] = []
    fit(
        learner(recipe(source={"puzzles": 20, "directions": True}, model=SMALL)), tmp_path, watch=Watch(say=said.append)
    )
    assert sum("no head for them" in line for line in said) == 1


def test_a_head_without_labels_learns_nothing() -> None:
    made = learner(recipe(source={"puzzles": 20}, model=SMALL | {"auxiliary": 4}))
    assert made.advance()["auxiliary_loss"] == 0
    made.gradients(made.draws[2])
    # Zero, not missing: engines treat a missing gradient each in its own way.
    assert float(made.network.auxiliary_head.weight.grad.abs().max()) == 0


def test_labels_switched_on_at_a_resume_start_the_rows_anew(tmp_path: Path) -> None:
    without, on = (recipe(source={"puzzles": 20} | more, model=SMALL) for more in ({}, {"directions": True}))
    fit(learner(without), tmp_path, settings=Settings(seconds=0.0))
    resumed = learner(on)
    fit(resumed, tmp_path, resume=True)
    (carry,) = resumed.carries.values()
    assert (resumed.step, carry.rows.labels.shape) == (10, (8, 128))


def drawn(change: Callable[[NDArray[np.int32]], NDArray[np.int32]]) -> Learner:
    """A learner whose next draw has its auxiliary labels changed."""
    made = learner(plan())
    batch = made.draws[1]
    labels = np.concatenate((batch.rows.labels[:, :64], change(batch.rows.labels[:, 64:].copy())), axis=1)
    made.advance(replace(batch, rows=replace(batch.rows, labels=labels)))
    return made


@pytest.mark.parametrize(
    "change",
    [
        lambda told: np.where(told == IGNORE_LABEL, np.int32(-1), told),
        lambda told: np.where(told == 0, np.int32(4), told),
        lambda told: told[:, :10],
        lambda told: np.concatenate((told, told), axis=1),
    ],
)
def test_labels_that_do_not_fit_the_head_are_refused(change: Callable[..., NDArray[np.int32]]) -> None:
    drawn(lambda told: told)
    with pytest.raises(BadInput, match=r"do not fit the network's head of 4 classes"):
        drawn(change)


def test_a_head_that_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    wanted = recipe(source={"puzzles": 20, "directions": True}, model=SMALL | {"auxiliary": 3})
    with pytest.raises(BadInput, match=r"do not fit the network's head of 3 classes"):
        run(Job("maze-8x8", "trm-message-nano", wanted), tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Mine(OwnNetwork):
    """The smallest network with such a head."""

    auxiliary_classes = 4

    def __init__(self, vocab_size: int, seq_len: int) -> None:
        super().__init__()
        self.embed, self.answer = nn.Embedding(vocab_size, 8), nn.Linear(8, vocab_size)
        self.halt, self.way = nn.Linear(8, 1), nn.Linear(8, 4)

    def initial_state(self, batch: int, length: int) -> State:
        return (torch.zeros(batch, length, 8),)

    def forward(self, state: State, rows: Rows, puzzle: torch.Tensor | None = None) -> StepOutput:
        latent = torch.tanh(state[0] + self.embed(rows.tokens))
        return StepOutput((latent,), self.answer(latent), self.halt(latent.mean(1))[:, 0], self.way(latent))


def test_a_network_of_ones_own_may_have_a_head() -> None:
    network = Mine(6, 64)
    cells = torch.randint(1, 6, (2, 64), generator=torch.Generator().manual_seed(0))
    batch = Rows(cells, cells, torch.arange(64).expand(2, 64), torch.zeros(2, 1, dtype=torch.int64))
    out = network(network.initial_state(2, 64), batch)
    assert out.auxiliary.shape == (2, 64, 4)
    network.auxiliary_classes = 3
    with pytest.raises(PluginError, match=r"auxiliary begins \(2, 64, 4\), it must be \(2, 64, 3\)"):
        network(network.initial_state(2, 64), batch)

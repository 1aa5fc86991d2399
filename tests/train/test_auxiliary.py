"""Auxiliary labels: learnt besides the answer by networks with a head for them, and by no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.train.tiny import parts, recipe
from trm_harness.errors import BadInput
from trm_harness.nn.losses import supervision_loss
from trm_harness.train.learner import Learner
from trm_harness.train.loop import fit
from trm_harness.train.recipe import Recipe
from trm_harness.train.trainer import Settings
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


def test_its_weight_is_the_recipes(tmp_path: Path) -> None:
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


def test_more_classes_than_the_head_has_are_refused() -> None:
    wanted = recipe(source={"puzzles": 20, "directions": True}, model=SMALL | {"auxiliary": 3})
    with pytest.raises(BadInput, match=r"labels go up to 3: set it to 4"):
        learner(wanted).advance()

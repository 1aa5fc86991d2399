"""HRM and the direct predictor equal the reference: every supervision step, losses, gradients, optimizers, EMA."""

from __future__ import annotations

import pytest

from tests.plugins.parity_models import (
    Case,
    check_evaluation,
    check_learner,
    check_names,
    check_training,
    found,
)
from trm_harness import registry
from trm_harness.contracts import ModelRequest
from trm_harness.specs import TaskSpec


@pytest.fixture(params=found(["hrm", "direct"]))
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def test_parameter_count(case: Case) -> None:
    assert case.network.network_parameters() == case.spec["num_params"]


def test_names_round_trip(case: Case) -> None:
    check_names(case)


def test_evaluation_at_every_step(case: Case) -> None:
    check_evaluation(case)


def test_consecutive_training_steps(case: Case) -> None:
    check_training(case)


@pytest.mark.parametrize(
    ("name", "symbols", "cells", "parameters"),
    [
        ("hrm-27m", 11, 81, 27_275_266),
        ("hrm-27m", 12, 900, 27_276_290),
        ("direct-27m", 12, 900, 27_145_218),
        ("direct-27m", 11, 81, 27_144_194),
        ("trm-7m-singlez", 12, 900, 6_829_058),
    ],
)
def test_published_parameter_counts(name: str, symbols: int, cells: int, parameters: int) -> None:
    models = registry.default().models
    task = TaskSpec("t", 1, "", "", "", vocab_size=symbols, seq_len=cells)
    assert models.resolve(name)(ModelRequest(models.spec(name), task)).facts().parameters.network == parameters


@pytest.mark.parametrize("split", [False, True], ids=["whole", "micro-batches"])
def test_the_learner_takes_the_same_steps(case: Case, split: bool) -> None:
    check_learner(case, split)

"""TRM equals the reference: every supervision step, the losses, gradients, both optimizers and the EMA."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.parity_files import golden, golden_groups, read_json
from tests.plugins.parity_models import (
    Case,
    check_evaluation,
    check_learner,
    check_names,
    check_training,
    close,
    fixture_config,
    found,
)
from trm_harness.nn.losses import LOSSES, log_stablemax
from trm_harness.nn.optim import sparse_sign_step
from trm_harness.nn.reference import ARCHITECTURES
from trm_harness.train.learner import stage_rate
from trm_harness.train.recipe import Stage


@pytest.fixture(params=found(["trm"]))
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


@pytest.mark.parametrize("folder", golden("models/*"))
def test_every_case_is_of_a_network_that_is_tested(folder: Path) -> None:
    assert ARCHITECTURES[fixture_config(folder)["arch"]][0] in ("trm", "hrm", "direct")


def test_parameter_count(case: Case) -> None:
    assert case.network.network_parameters() == case.spec["num_params"]


def test_names_round_trip(case: Case) -> None:
    check_names(case)


def test_evaluation_at_every_step(case: Case) -> None:
    check_evaluation(case)


def test_consecutive_training_steps(case: Case) -> None:
    check_training(case)


@pytest.mark.parametrize("split", [False, True], ids=["whole", "micro-batches"])
def test_the_learner_takes_the_same_steps(case: Case, split: bool) -> None:
    check_learner(case, split)


@pytest.mark.parametrize(("file", "group"), golden_groups("losses.npz"))
def test_losses(file: Path, group: str) -> None:
    data = {k.removeprefix(f"{group}."): v for k, v in np.load(file).items() if k.startswith(f"{group}.")}
    logits = torch.from_numpy(data["logits"]).requires_grad_()
    labels = torch.from_numpy(data["labels"]).long()
    ce = LOSSES["stablemax_cross_entropy"](logits, labels)
    close(ce, torch.from_numpy(data["stablemax_ce"]), 1e-12, 0, "cross-entropy")
    close(log_stablemax(logits), torch.from_numpy(data["log_stablemax"]), 1e-12, 1e-300, "log stablemax")
    (ce * torch.from_numpy(data["upstream"])).sum().backward()
    want = torch.from_numpy(data["grad_logits_upstream"])
    close(logits.grad, want, 1e-6, 1e-9 * float(want.abs().max()), "gradient")
    softmax = LOSSES["softmax_cross_entropy"](torch.from_numpy(data["logits"]), labels)
    assert np.allclose(softmax.numpy(), data["softmax_ce"], rtol=1e-5, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize(("file", "group"), golden_groups("sparse_emb.npz"))
def test_sparse_table_steps(file: Path, group: str) -> None:
    data = np.load(file)
    lr, decay = float(data[f"{group}.lr"]), float(data[f"{group}.weight_decay"])
    steps = sorted({int(name.split(".")[1]) for name in data.files if name.startswith(f"{group}.") and ".ids" in name})
    assert steps
    for step in steps:
        get = lambda name, step=step: torch.from_numpy(data[f"{group}.{step}.{name}"])  # noqa: E731
        table, ids = get("weights_before"), get("ids").long()
        assert torch.equal(table[ids], get("forward"))
        sparse_sign_step(table, ids, get("grads"), lr, decay)
        close(table, get("weights_after"), 0, 1e-7, f"{group} step {step}")


@pytest.mark.parametrize("file", golden("schedule.json"))
def test_the_learning_rate_follows_the_references_schedule(file: Path) -> None:
    """Up to the last step of a stage: there training ends, while the reference's cosine would turn back up."""
    for case in read_json(file)["cases"]:
        base, last = case["base_lr"], case["num_training_steps"]
        stage = Stage(steps=last, lr=base, lr_end=base * case["min_ratio"], warmup=case["num_warmup_steps"])
        wanted = {step: lr for step, lr in zip(case["steps"], case["lr"], strict=True) if step <= last}
        assert wanted
        got = [stage_rate(stage, step) for step in wanted]
        np.testing.assert_allclose(got, list(wanted.values()), rtol=1e-12, atol=0)

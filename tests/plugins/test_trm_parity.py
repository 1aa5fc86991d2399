"""TRM equals the reference: every supervision step, the losses, gradients, both optimizers and the EMA."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.parity_files import parity_roots
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
from trm_harness.nn.optim import cosine_with_warmup, sparse_sign_step
from trm_model_trm.checkpoint import ARCHITECTURE

CASES = (
    "trm_att_rope",
    "trm_att_rope_seq81",
    "trm_att_learned",
    "trm_mlp_t",
    "trm_singlez",
    "full_trm_att",
    "full_trm_mlp",
)


@pytest.fixture(params=found(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    spec = fixture_config(request.param)
    arch = spec["config"]
    return Case(
        request.param,
        ARCHITECTURE,
        layers=arch["L_layers"],
        h_cycles=arch["H_cycles"],
        l_cycles=arch["L_cycles"],
        features=1 if spec["arch"] == "trm_singlez" else 2,
    )


def test_parameter_count(case: Case) -> None:
    assert case.network.network_parameters() == case.spec["num_params"]


def test_names_round_trip(case: Case) -> None:
    check_names(case)


def test_evaluation_at_every_step(case: Case) -> None:
    check_evaluation(case)


def test_consecutive_training_steps(case: Case) -> None:
    check_training(case)


@pytest.mark.parametrize(("label", "root"), parity_roots())
@pytest.mark.parametrize("group", ["random", "ignored_rows", "extreme", "large_scale"])
def test_losses(label: str, root: Path, group: str) -> None:
    file = root / "losses.npz"
    if not file.exists():
        pytest.skip("this part of the fixtures is not in the tree")
    data = {k.split(".", 1)[1]: v for k, v in np.load(file).items() if k.startswith(group + ".")}
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


@pytest.mark.parametrize(("label", "root"), parity_roots())
@pytest.mark.parametrize("group", ["dups", "all_same", "unique"])
def test_sparse_table_steps(label: str, root: Path, group: str) -> None:
    file = root / "sparse_emb.npz"
    if not file.exists():
        pytest.skip("this part of the fixtures is not in the tree")
    data = np.load(file)
    lr, decay = float(data[f"{group}.lr"]), float(data[f"{group}.weight_decay"])
    for step in range(3):
        get = lambda name, step=step: torch.from_numpy(data[f"{group}.{step}.{name}"])  # noqa: E731
        table, ids = get("weights_before"), get("ids").long()
        assert torch.equal(table[ids], get("forward"))
        sparse_sign_step(table, ids, get("grads"), lr, decay)
        close(table, get("weights_after"), 0, 1e-7, f"{group} step {step}")


@pytest.mark.parametrize(("label", "root"), parity_roots())
def test_schedule(label: str, root: Path) -> None:
    file = root / "schedule.json"
    if not file.exists():
        pytest.skip("this part of the fixtures is not in the tree")
    for case in json.loads(file.read_text())["cases"]:
        arguments = case["base_lr"], case["num_warmup_steps"], case["num_training_steps"], case["min_ratio"]
        got = [cosine_with_warmup(step, *arguments) for step in case["steps"]]
        np.testing.assert_allclose(got, case["lr"], rtol=1e-12, atol=0)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_learner_takes_the_same_steps(case: Case, accumulate: int) -> None:
    check_learner(case, accumulate)

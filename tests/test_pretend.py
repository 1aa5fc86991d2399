"""Accelerator code without an accelerator: the same answers and losses on a pretend device as on the CPU, few waits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import torch.utils.backend_registration as registration

from tests.conftest import ROOT
from trm_harness.cli.doctor import APART

pytestmark = [
    pytest.mark.skipif(
        not hasattr(registration, "_setup_privateuseone_for_python_backend"),
        reason="this torch has no devices written in Python (2.9 has)",
    ),
    # The one process that tells everything takes minutes where the cores are busy.
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process of its own says: the device is registered for good, and ``auto`` would mean it."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.on_pretend", str(tmp_path_factory.mktemp("pretend"))],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_auto_finds_the_accelerator(told: dict[str, Any]) -> None:
    assert (told["auto"], told["count"]) == ("pretend", 1)
    assert told["refused"].startswith("Expected all tensors to be on the same device")


def test_every_network_answers_as_on_the_cpu_and_the_host_waits_once_a_step(told: dict[str, Any]) -> None:
    for name, ways in told["answering"].items():
        assert ways.pop("device") == "pretend:0"
        for way, found in ways.items():
            assert found["equal"], (name, way)
            assert found["waits"] == {"cpu": found["steps"]}, (name, way)
        assert ways["full 0"]["steps"] > ways["settled 0"]["steps"] >= 2


def test_whole_evaluations_run_with_views_restarts_tables_and_adaptation(told: dict[str, Any]) -> None:
    assert set(told["evaluating"]) == {"views", "restarts", "table", "adapted"}
    for name, found in told["evaluating"].items():
        assert found == ["success", "pretend", "bfloat16", "Pretend accelerator"], name


def test_a_device_is_proved_by_golden_outputs_and_gradients(told: dict[str, Any]) -> None:
    assert told["golden"].endswith("after 8 steps: the same grids")
    assert 0 < told["gradients"] < APART


def test_training_loses_what_it_loses_on_the_cpu(told: dict[str, Any]) -> None:
    for name, found in told["training"].items():
        ours, theirs = found["losses"]["cpu"], found["losses"]["pretend"]
        assert theirs == pytest.approx(ours, rel=1e-4), name
        assert len(set(ours)) == len(ours)
    assert {"weights.safetensors", "train.json"} <= set(told["files"])


def test_a_step_of_training_waits_for_nothing_whatever_steps_the_weights(told: dict[str, Any]) -> None:
    assert set(told["stepped"]) == {"trm", "hrm", "muon", "table"}
    for name, found in told["stepped"].items():
        assert found["waits"] == {}, name
        assert found["brought"] == {"cpu": 1}, name
        # Newton and Schulz work in bfloat16 off the CPU.
        near = 1e-3 if name == "muon" else 1e-4
        assert found["losses"]["pretend"] == pytest.approx(found["losses"]["cpu"], rel=near), name


def test_a_run_goes_on_to_the_same_bits_and_its_numbers_come_over_together(told: dict[str, Any]) -> None:
    found = told["resumed"]
    assert (found["rows"], found["equal rows"], found["equal weights"]) == (4, True, True)
    # Four steps with a checkpoint after two: brought over one by one, and before each checkpoint.
    assert found["waits 0"] - found["waits inf"] == 2


def test_bench_measures_the_device(told: dict[str, Any]) -> None:
    assert set(told["benches"]) == {"eval full", "eval settled", "eval adaptive", "train step"}
    assert min(told["benches"].values()) > 0


def test_deepspeed_says_where_it_does_not_run(told: dict[str, Any]) -> None:
    assert told["deepspeed"].startswith(
        ("BadInput: --trainer deepspeed runs on cuda and cpu, not on pretend", "No module named")
    )

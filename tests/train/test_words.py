"""What a training is told that cannot be: the message names the cause and the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from safetensors.torch import load_file, save_file

import trm_harness
from trm_harness.errors import BadInput
from trm_harness.train.recipe import Recipe, Stage, with_settings
from trm_harness.train.session import new_job
from trm_harness.train.sinks import check_sinks
from trm_harness.zoo import named, safetensors_metadata, weights_path

Harness = Callable[..., CompletedProcess[str]]
RECIPE = Recipe(stages=(Stage(10, 1e-3, 1e-4), Stage(20, 1e-4, 1e-5)))


def test_a_bare_setting_of_a_stage_is_every_stages() -> None:
    changed = with_settings(RECIPE, ["lr=0.5", "warmup=3"])
    assert [(stage.lr, stage.warmup) for stage in changed.stages] == [(0.5, 3), (0.5, 3)]
    assert changed == with_settings(RECIPE, ["stage.lr=0.5", "stage.warmup=3"])
    with pytest.raises(BadInput, match=r"use --steps N.*stage\.1\.steps"):
        with_settings(RECIPE, ["steps=5"])


def test_the_documented_call_works(harness: Harness, tmp_path: Path) -> None:
    call = ["train", "--task", "sudoku-4x4", "--model", "trm-nano", "--no-compile", "--set", "lr=1e-3", "--steps", "1"]
    done = harness(*call, "--set", "batch_size=4", "--out", "mine")
    assert done.returncode == 0, done.stderr
    stages = json.loads((tmp_path / "mine" / "train.json").read_text())["job"]["recipe"]["stages"]
    assert {stage["lr"] for stage in stages} == {1e-3}


def test_a_model_that_cannot_be_trained_says_why_and_names_others() -> None:
    for model, why in (("oracle-sudoku", "solver"), ("llm", "llm"), ("random", "trivial")):
        with pytest.raises(
            BadInput, match=rf"model {model} \({why}\) cannot be trained: it has no weights; .*trm-nano"
        ):
            new_job("sudoku-4x4", model)


@pytest.mark.parametrize("head", ["answer_head", "halt_head"])
def test_weights_without_a_head_are_told_so(head: str, tmp_path: Path) -> None:
    shipped = weights_path(named("trm-nano.sudoku-4x4"))
    tensors = {name: value for name, value in load_file(shipped).items() if head not in name}
    save_file(tensors, tmp_path / "w.safetensors", safetensors_metadata(shipped))
    with pytest.raises(BadInput, match=rf"lacks tensor 'frame\.{head}.*saved without that head.*take the whole state"):
        trm_harness.load_model("trm-nano", "sudoku-4x4", weights=tmp_path / "w.safetensors")


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_wandb_offline_needs_no_login(mode: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", mode)
    check_sinks(["tensorboard", "wandb"])


@pytest.mark.slow
def test_the_real_client_without_a_login_writes_nothing(harness: Harness, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    call = ["train", "--task", "sudoku-4x4", "--model", "trm-nano", "--no-compile", "--steps", "1", "--log", "wandb"]
    done = harness(*call, "--out", "run", HOME=str(tmp_path), WANDB_MODE="online", WANDB_API_KEY="")
    assert done.returncode == 2
    assert "not logged in here" in done.stderr
    assert not (tmp_path / "run").exists()

"""The mean of weights: its numbers, what it declares, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.test_cli_eval import Call, call
from tests.test_trust import trained
from trm_harness.convert.rewrite import our_metadata, rewrite
from trm_harness.fingerprint import file_sha256

__all__ = ["call"]


def test_the_mean_of_two_runs_is_weights_like_theirs(call: Call) -> None:
    one = trained(call, "one") / "weights.safetensors"
    two = trained(call, "two", "--weights", str(one), "--set", "seed=1") / "weights.safetensors"
    said = call("zoo", "average", str(one), str(two), "--out", "mean.safetensors")
    assert (said.code, said.out) == (0, "mean.safetensors: the mean of 2\n")
    first, second, mean = (load_file(file) for file in (one, two, "mean.safetensors"))
    assert mean.keys() == first.keys()
    for name, value in mean.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, (first[name] + second[name]) / 2, rtol=0, atol=1e-7)
    training = json.loads(our_metadata(Path("mean.safetensors"))["training"])
    shas = ", ".join(file_sha256(file)[:12] for file in (one, two))
    assert training["checkpoint_choice"] == f"the mean of 2 weights: {shas}"
    # Both saw the same puzzles, which are told once.
    assert training["data"] == json.loads(our_metadata(one)["training"])["data"]
    model = ("--task", "sudoku-4x4", "--model", "trm-nano", "--weights", "mean.safetensors")
    assert call("eval", *model, "--split", "validation", "--limit", "3", "--out", "run").code == 0


def test_weights_of_a_version_that_knew_fewer_settings_have_a_mean(call: Call) -> None:
    one = trained(call, "one") / "weights.safetensors"
    config = json.loads(our_metadata(one)["config"])
    del config["rope_theta"]
    rewrite(one, Path("older.safetensors"), config=config)
    said = call("zoo", "average", str(one), "older.safetensors", "--out", "mean.safetensors")
    assert (said.code, said.out) == (0, "mean.safetensors: the mean of 2\n")
    rewrite(one, Path("other.safetensors"), config=config | {"rope_theta": 7.0})
    assert call("zoo", "average", str(one), "other.safetensors", "--out", "no.safetensors").code == 2


def test_what_has_no_mean_is_refused(call: Call) -> None:
    one = trained(call, "one") / "weights.safetensors"
    wide = trained(call, "wide", "--set", "model.hidden_size=32") / "weights.safetensors"
    out = ("--out", "mean.safetensors")
    said = call("zoo", "average", str(one), str(wide), *out)
    assert (said.code, "is of another network than one" in said.err) == (2, True)
    said = call("zoo", "average", str(one), *out)
    assert (said.code, "two files" in said.err) == (2, True)
    told = json.loads(our_metadata(one)["training"])
    rewrite(one, Path("other.safetensors"), training=told | {"demonstrations": "transductive"})
    said = call("zoo", "average", str(one), "other.safetensors", *out)
    assert (said.code, "declare different demonstrations" in said.err) == (2, True)
    assert not Path("mean.safetensors").exists()
    Path("mean.safetensors").write_text("mine")
    said = call("zoo", "average", str(one), str(one), *out)
    assert (said.code, Path("mean.safetensors").read_text()) == (2, "mine")


@pytest.mark.parametrize("name", ["trm-nano.nothing", "absent.safetensors"])
def test_a_name_that_is_nothing_is_one_line(call: Call, name: str) -> None:
    said = call("zoo", "average", name, name, "--out", "mean.safetensors")
    assert said.code == 2
    assert said.err.count("\n") <= 2

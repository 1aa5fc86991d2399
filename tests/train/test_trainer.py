"""A trainer of one's own: one job in, one result out, and its numbers on the console."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.conftest import ROOT
from tests.train.tiny import parts, recipe
from trm_harness.errors import PluginError
from trm_harness.train.loop import fit_job
from trm_harness.train.progress import Means
from trm_harness.train.trainer import TrainerJob, TrainResult, call

PLUGIN = """
from dataclasses import replace

from trm_harness import TrainerSpec, hookimpl

PLUGIN_API = 1


@hookimpl
def register_trainers(register):
    register(TrainerSpec(id="clipped", version=1, target="clipped:train", title="c", description="c"))


def train(job):
    from engine_of_the_kit import train as kit

    return replace(kit(job), own={"flavour": "clipped"})
"""


def documented() -> str:
    """The trainer that the kit's page shows."""
    page = (ROOT / "docs" / "plugin-kit.md").read_text().partition("## A trainer")[2]
    return re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]


def test_the_documented_trainer_trains_and_shows_its_numbers(
    tmp_path: Path, harness: Callable[..., CompletedProcess[str]]
) -> None:
    (tmp_path / "clipped.py").write_text(PLUGIN)
    (tmp_path / "engine_of_the_kit.py").write_text(documented())
    small = ("--steps", "3", "--set", "batch_size=8", "--set", "validate_every=0", "--no-compile", "--out", "run")
    args = ("--plugin", "clipped.py", "train", "--task", "sudoku-4x4", "--model", "trm-nano", "--trainer", "clipped")
    done = harness(*args, *small, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert re.search(r"step 3/3 .* grad_norm \d+\.\d{4} ", done.stderr)
    assert "\nflavour clipped\n" in done.stdout
    told = json.loads((tmp_path / "run" / "train.json").read_text())
    assert told["result"]["flavour"] == "clipped"
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(row["grad_norm"] > 0 for row in rows)


def test_a_row_of_ones_own_needs_nothing_but_step_and_loss() -> None:
    means = Means(10)
    for step in (1, 2):
        means.add({"step": step, "loss": 1.0, "perplexity": 2.0 * step, "note": "words", "bucket": "all"})
    told = means.text()
    assert told.startswith("loss 1.0000  perplexity 3.0000  ")
    assert "note" not in told


def test_what_keeps_no_contract_is_named(tmp_path: Path) -> None:
    plan = recipe()
    job = TrainerJob(*parts(plan), plan, tmp_path)
    with pytest.raises(PluginError, match="trainer mine does not take one job"):
        call(lambda model, source: None, job, "mine")
    with pytest.raises(PluginError, match="trainer mine returned NoneType"):
        call(lambda job: None, job, "mine")


def test_only_the_first_process_speaks_and_each_says_that_it_began(tmp_path: Path) -> None:
    from trm_harness.train.engine import TorchEngine
    from trm_harness.train.trainer import Watch

    class Second(TorchEngine):
        rank, world = 1, 2

    plan, said, ranks = recipe(), [], []
    watch = Watch(say=said.append, started=ranks.append, report=said.append)
    job = TrainerJob(*parts(plan), plan, tmp_path, watch=watch)
    done = fit_job(job, Second(job.model.network, plan))
    assert isinstance(done, TrainResult)
    assert (done.rank, done.processes, ranks, said) == (1, 2, [1], [])
    assert not (tmp_path / "weights.safetensors").exists()

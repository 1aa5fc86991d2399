"""The loop around the learner: micro-batches, drawing ahead, validation, early stopping, divergence, full disks."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from multiprocessing import get_start_method
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import ROOT
from tests.train.tiny import parts, recipe
from trm_harness.errors import BadInput, CheckFailed
from trm_harness.train import data, loop
from trm_harness.train.data import Draws, batches
from trm_harness.train.learner import Learner
from trm_harness.train.log import curve, read_metrics
from trm_harness.train.loop import Settings, Watch, fit
from trm_harness.train.recipe import Stage


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def scripted(values: list[float]) -> Callable[[Any, int, int], Mapping[str, float]]:
    """A validation that finds these accuracies, one after the other, on ten puzzles."""
    found = iter(values)
    return lambda model, rank, world: {"n": 10.0, "exact": 10.0 * next(found)}


@pytest.mark.parametrize("accumulate", [2, 4])
@pytest.mark.parametrize("model", ["trm-nano", "hrm-nano"])
def test_micro_batches_change_nothing_but_rounding(accumulate: int, model: str) -> None:
    whole, cut = recipe(), recipe(accumulate=accumulate)
    one, other = Learner(*parts(whole, model), whole), Learner(*parts(cut, model), cut)
    for _ in range(10):
        a, b = one.advance(), other.advance()
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5)
        assert a["halted"] == b["halted"]
    for name, value in one.network.state_dict().items():
        torch.testing.assert_close(other.network.state_dict()[name], value, rtol=0, atol=2e-5, msg=name)


def test_a_batch_must_divide_into_micro_batches() -> None:
    with pytest.raises(BadInput, match="must divide batch_size"):
        recipe(accumulate=3)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_draw_the_same_batches_in_the_same_order(workers: int) -> None:
    plan = recipe()
    draws = Draws(parts(plan)[1], plan)
    for step, drawn in enumerate(batches(draws, 5, 12, workers), start=5):
        want = draws[step]
        assert drawn.bucket == want.bucket
        for field in ("tokens", "labels", "positions", "identities"):
            assert np.array_equal(getattr(drawn.rows, field), getattr(want.rows, field)), (step, field)


OPEN = """
import sys
from tests.train.tiny import parts, recipe
from trm_harness.train.data import Draws, batches

plan = recipe()
# As the traceback of a failure holds it in a session, until Python ends.
sys.held = batches(Draws(parts(plan)[1], plan), 1, 1000, 1)
next(sys.held)
"""


def test_python_ends_though_a_process_still_draws() -> None:
    done = subprocess.run([sys.executable, "-c", OPEN], cwd=ROOT, capture_output=True, text=True, timeout=90)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_process_draws_once_training_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    if get_start_method() != "fork":
        pytest.skip("processes start from nothing here: batches are drawn ahead only when asked for")
    plan = recipe()
    draws = Draws(parts(plan)[1], plan)
    drawn_here: list[int] = []
    plain = Draws.__getitem__
    monkeypatch.setattr(Draws, "__getitem__", lambda self, step: drawn_here.append(step) or plain(self, step))
    monkeypatch.setattr(data, "cores", lambda: 2)
    quick = list(batches(draws, 5, 12, None))
    assert drawn_here == [*range(5, 13)]
    drawn_here.clear()
    monkeypatch.setattr(data, "WAITED_SECONDS", 0.0)
    slow = list(batches(draws, 5, 12, None))
    assert drawn_here == [5]
    for one, other in zip(quick, slow, strict=True):
        assert np.array_equal(one.rows.tokens, other.rows.tokens)
        assert np.array_equal(one.rows.labels, other.rows.labels)
    monkeypatch.setattr(data, "cores", lambda: 1)
    drawn_here.clear()
    assert len(list(batches(draws, 5, 12, None))) == len(drawn_here) == 8


def test_training_with_workers_is_the_same_training(tmp_path: Path) -> None:
    plan = recipe()
    for name, workers in (("none", 0), ("two", 2)):
        (tmp_path / name).mkdir()
        fit(Learner(*parts(plan), plan), tmp_path / name, settings=Settings(workers=workers))
    one, other = (load_file(tmp_path / name / "weights.safetensors") for name in ("none", "two"))
    assert all(torch.equal(one[k], other[k]) for k in one)


def test_validation_keeps_the_best_weights_and_leaves_training_alone(tmp_path: Path) -> None:
    plan = recipe(validate_every=2)
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    done = fit(Learner(*parts(plan), plan), tmp_path / "with", validate=scripted([0.1, 0.7, 0.4, 0.7, 0.2]))
    fit(Learner(*parts(plan), plan), tmp_path / "without")
    assert done.best == {"exact": 0.7, "step": 4}
    assert done.validation == {"n": 10, "exact": 0.2}
    rows = [row for row in read_metrics(tmp_path / "with") if "validation" in row]
    assert [(row["step"], row["validation"]["exact"]) for row in rows] == [
        (2, 0.1),
        (4, 0.7),
        (6, 0.4),
        (8, 0.7),
        (10, 0.2),
    ]
    last = {name: load_file(tmp_path / name / "weights.safetensors") for name in ("with", "without")}
    assert all(torch.equal(last["with"][k], last["without"][k]) for k in last["with"])
    best = load_file(tmp_path / "with" / "weights-best.safetensors")
    halfway = Learner(*parts(plan), plan)
    for _ in range(4):
        halfway.advance()
    assert all(torch.equal(best[name], value) for name, value in halfway.ema.shadow.items())


def test_patience_stops_early_and_a_resume_knows_how_long_it_waited(tmp_path: Path) -> None:
    plan = recipe(validate_every=1, patience=3)
    learner = Learner(*parts(plan), plan)
    done = fit(learner, tmp_path, validate=scripted([0.5, 0.6, 0.1, 0.2, 0.3, 0.9]))
    assert (done.stopped, done.steps, done.best["step"]) == ("stopped early", 5, 2)
    again = fit(Learner(*parts(plan), plan), tmp_path, resume=True, validate=scripted([0.0]))
    assert (again.stopped, again.steps) == ("stopped early", 5)


def test_a_run_out_of_time_is_validated_where_it_stopped_and_goes_on(tmp_path: Path) -> None:
    plan = recipe(validate_every=100)
    done = fit(Learner(*parts(plan), plan), tmp_path, validate=scripted([0.3]), settings=Settings(seconds=0.0))
    assert (done.stopped, done.steps, done.validation["exact"]) == ("out of time", 1, 0.3)
    more = fit(Learner(*parts(plan), plan), tmp_path, resume=True, validate=scripted([0.4]))
    assert (more.stopped, more.steps, more.best["step"]) == ("finished", 10, 10)


def test_no_average_means_the_raw_weights(tmp_path: Path) -> None:
    plan = recipe(ema_rate=0.0)
    fit(Learner(*parts(plan), plan), tmp_path)
    raw, average = (load_file(tmp_path / f"weights{suffix}.safetensors") for suffix in ("-raw", ""))
    assert all(torch.equal(raw[k], average[k]) for k in raw)


def test_a_loss_that_is_no_number_stops_and_names_the_last_good_state(tmp_path: Path) -> None:
    plan = recipe()
    learner = Learner(*parts(plan), plan)
    poisoned = learner.source.draw

    def draw(bucket: str, index: int, size: int) -> Any:
        if index == 6:
            with torch.no_grad():
                learner.network.frame.token_embedding.weight.fill_(math.nan)
        return poisoned(bucket, index, size)

    learner.source.draw = draw
    with pytest.raises(CheckFailed, match=r"loss is nan at step 6: lower lr .*checkpoints/step-0000005"):
        fit(learner, tmp_path, settings=Settings(every_steps=1))
    fresh = Learner(*parts(plan), plan)
    assert fit(fresh, tmp_path, resume=True).stopped == "finished"


def test_weights_that_are_no_numbers_are_never_saved(tmp_path: Path) -> None:
    plan = recipe()
    learner = Learner(*parts(plan), plan)
    learner.network.frame.answer_head.weight.data.fill_(math.inf)
    with pytest.raises(CheckFailed, match="is not finite at step 0"):
        loop.save_checkpoint(tmp_path / "checkpoints", learner, {})
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_loss_that_runs_away_stops(tmp_path: Path) -> None:
    calm = Stage(steps=200, lr=1e-4, lr_end=1e-4, supervision_steps=1)
    plan = recipe(stages=(calm,))
    learner = Learner(*parts(plan), plan)
    sitting = loop._Sitting(learner, tmp_path, None, Settings(), Watch())
    losses = [1.0] * 149 + [30.0] * 50

    def feed() -> None:
        for step, loss in enumerate(losses, start=1):
            sitting._check_loss(loss, step)

    with pytest.raises(CheckFailed, match=r"loss runs away: .* it was 1"):
        feed()


def test_a_jump_at_a_new_stage_is_no_divergence(tmp_path: Path) -> None:
    stage = Stage(steps=150, lr=1e-4, lr_end=1e-4)
    plan = recipe(stages=(stage, stage))
    sitting = loop._Sitting(Learner(*parts(plan), plan), tmp_path, None, Settings(), Watch())
    for step in range(1, 301):
        sitting._check_loss(0.1 if step <= 150 else 2.0, step)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from tests.train.tiny import parts, recipe
from trm_harness.errors import HarnessError
from trm_harness.train.checkpoint import save_checkpoint
from trm_harness.train.learner import Learner

plan = recipe()
learner = Learner(*parts(plan), plan)
learner.advance()
save_checkpoint(Path(sys.argv[1]), learner, {})
learner.advance()
# A file may not grow beyond this many bytes: what a full disk does to a writer.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    save_checkpoint(Path(sys.argv[1]), learner, {})
except HarnessError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    ran = subprocess.run([sys.executable, "-c", FULL_DISK, str(folder)], capture_output=True, text=True, check=False)
    assert ran.returncode == 1, ran.stderr
    assert "cannot be written" in ran.stdout
    assert "goes on from step 1" in ran.stdout
    assert [path.name for path in folder.iterdir()] == ["step-0000001"]
    plan = recipe()
    learner = Learner(*parts(plan), plan)
    loop.load_checkpoint(folder, learner)
    assert learner.step == 1


@pytest.mark.parametrize("name", ["state.json", "state.safetensors"])
def test_a_deleted_checkpoint_file_is_named_and_the_one_before_loads(name: str, tmp_path: Path) -> None:
    plan = recipe()
    fit(Learner(*parts(plan), plan), tmp_path, settings=Settings(every_steps=3, keep=0))
    newest = tmp_path / "checkpoints" / "step-0000010"
    (newest / name).unlink()
    learner = Learner(*parts(plan), plan)
    with pytest.raises(BadInput, match=r"step-0000010: cannot be read .*resume from the one before, step-0000009"):
        loop.load_checkpoint(tmp_path / "checkpoints", learner)
    assert learner.step == 0
    shutil.rmtree(newest)
    assert fit(learner, tmp_path, resume=True).steps == 10


def test_so_many_checkpoints_are_kept(tmp_path: Path) -> None:
    plan = recipe()
    fit(Learner(*parts(plan), plan), tmp_path, settings=Settings(every_steps=2, keep=3))
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-0000006", "step-0000008", "step-0000010"]


def test_without_a_compiler_it_says_so_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **options: Any) -> Any:
        raise RuntimeError("no C++ compiler here")

    monkeypatch.setattr(torch, "compile", broken)
    plan, said = recipe(compile=True), []
    done = fit(Learner(*parts(plan), plan), tmp_path, watch=Watch(say=said.append))
    assert done.stopped == "finished"
    assert said == ["torch.compile fails here (RuntimeError): going on without it"]


@pytest.mark.parametrize(
    ("dtype", "factor", "warned"), [("bfloat16", 40.0, True), ("bfloat16", 0.5, False), ("float32", 40.0, False)]
)
def test_slow_bfloat16_is_told(
    dtype: str, factor: float, warned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "bfloat16_factor", lambda device: factor)
    said: list[str] = []
    plan = recipe(dtype=dtype)
    fit(Learner(*parts(plan), plan), tmp_path, settings=Settings(seconds=0), watch=Watch(say=said.append))
    assert any("takes 40 times as long in bfloat16" in message for message in said) is warned


def test_compile_can_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "compile_stacks", lambda *args: pytest.fail("compiled"))
    plan = recipe(compile=True)
    assert fit(Learner(*parts(plan), plan), tmp_path, settings=Settings(compile=False)).steps == 10


@pytest.mark.slow
def test_compiled_training_validates_as_plain_weights_do_and_resumes_to_the_bit(tmp_path: Path) -> None:
    plan = recipe(compile=True)
    whole, first, second = (Learner(*parts(plan), plan) for _ in range(3))
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    fit(whole, tmp_path / "whole")
    fit(first, tmp_path / "cut", settings=Settings(seconds=0.0))
    fit(second, tmp_path / "cut", resume=True)
    one, other = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(one[k], other[k]) for k in one)


def test_nan_metrics_are_null_in_the_log(tmp_path: Path) -> None:
    plan = replace(recipe(), stages=(Stage(steps=2, lr=1e-3, lr_end=1e-3, supervision_steps=4),), halt_exploration=0.0)
    fit(Learner(*parts(plan), plan), tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line, parse_constant=lambda word: pytest.fail(word)) for line in lines]
    assert rows[0]["accuracy"] is None


def test_a_curve_has_means_of_stretches_and_every_validation() -> None:
    none = {"exact_accuracy": None, "accuracy": None, "steps": None}
    halted = {"exact_accuracy": 0.5, "accuracy": 0.9, "steps": 2.0}
    log = [{"step": n, "loss": float(n), "seconds": n / 10, **(none if n < 5 else halted)} for n in range(1, 11)]
    log.insert(7, {"step": 7, "validation": {"n": 20, "exact": 0.25, "cell": 0.8, "small/exact": 0.75}})
    shares = {"validation n": 20, "validation exact": 0.25, "validation small/exact": 0.75}
    assert curve(log, most=3) == [
        {"step": 4, "seconds": 0.4, "loss": 2.5},
        {"step": 7, **shares},
        {"step": 8, "seconds": 0.8, "loss": 6.5, **halted},
        {"step": 10, "seconds": 1.0, "loss": 9.5, **halted},
    ]
    assert curve([]) == []

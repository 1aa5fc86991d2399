"""``train`` in real processes: killed anywhere it resumes to the same bits; its choices; what it refuses."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.test_cli_eval import Call, call
from tests.train.tiny import RECIPE, recipe_file

__all__ = ["call"]

PLAIN = ("train", "--task", "sudoku-4x4", "--model", "trm-nano", "--threads", "1", "--checkpoint-steps", "4")


def command(folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "trm_harness", *PLAIN, "--recipe", str(folder / "recipe.toml"), *more]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    recipe_file(folder)
    subprocess.run(command(folder, "--out", str(folder / "whole")), check=True, capture_output=True, timeout=200)
    return folder / "whole"


def same(one: Path, other: Path) -> None:
    """Every weights file to the bit, and the log but for the clock."""
    names = sorted(path.name for path in one.glob("weights*.safetensors"))
    assert names == sorted(path.name for path in other.glob("weights*.safetensors"))
    assert len(names) == 4
    for name in names:
        a, b = load_file(one / name), load_file(other / name)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a), name
    logs = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (one, other)]
    clocks = {"seconds", "validation_seconds"}
    plain = [[{k: v for k, v in row.items() if k not in clocks} for row in log] for log in logs]
    assert plain[0] == plain[1]


@pytest.mark.slow
def test_killed_at_random_moments_it_resumes_to_the_same_bits(uninterrupted: Path, tmp_path: Path) -> None:
    recipe_file(tmp_path)
    out, dice = tmp_path / "killed", random.Random(7)
    begin = command(tmp_path, "--out", str(out))
    go_on = [sys.executable, "-m", "trm_harness", "train", "--resume", str(out), "--threads", "1"]
    go_on += ["--checkpoint-steps", "4"]
    for _ in range(4):
        resumable = any((out / "checkpoints").glob("step-*"))
        if not resumable and out.exists():
            subprocess.run(["rm", "-r", str(out)], check=True)
        process = subprocess.Popen(go_on if resumable else begin, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        ready = time.monotonic() + 60
        log = out / "metrics.jsonl"
        before = log.stat().st_size if log.exists() else 0
        while process.poll() is None and time.monotonic() < ready:
            if log.exists() and log.stat().st_size != before:
                break
            time.sleep(0.02)
        time.sleep(dice.random() * 1.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
    last = go_on if any((out / "checkpoints").glob("step-*")) else begin
    subprocess.run(last, check=True, capture_output=True, timeout=200)
    same(uninterrupted, out)


KILL_IN_A_CHECKPOINT = """
import os, signal, sys
from pathlib import Path
from trm_harness.train import checkpoint, log, loop

point, after = sys.argv[1], int(sys.argv[2])
seen = 0

def dying(real, before):
    def call(*args, **kwargs):
        global seen
        seen += 1
        if seen == after and before:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        if seen == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call

if point == "half of the tensors":
    real = checkpoint.save_tensors
    def half(tensors, path):
        global seen
        seen += 1
        real(tensors, path)
        if seen == after:
            os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
    checkpoint.save_tensors = half
elif point == "between the two files":
    checkpoint._write_state = dying(checkpoint._write_state, before=True)
elif point in ("before the rename", "before old ones go"):
    plain, counted = Path.replace, dying(Path.replace, before=point == "before the rename")
    # A checkpoint is the only folder that is moved.
    Path.replace = lambda made, final: (counted if made.is_dir() else plain)(made, final)
elif point == "in the last weights":
    loop.write_weights = dying(loop.write_weights, before=True)

from trm_harness.cli.main import main
main(sys.argv[3:])
"""

POINTS = [
    ("half of the tensors", 3),
    ("between the two files", 2),
    ("before the rename", 3),
    ("before old ones go", 4),
    ("in the last weights", 2),
]


@pytest.mark.slow
@pytest.mark.parametrize(("point", "after"), POINTS, ids=[point for point, _ in POINTS])
def test_killed_inside_a_checkpoint_it_resumes_to_the_same_bits(
    point: str, after: int, uninterrupted: Path, tmp_path: Path
) -> None:
    recipe_file(tmp_path)
    out = tmp_path / "killed"
    arguments = [*PLAIN, "--recipe", str(tmp_path / "recipe.toml"), "--out", str(out)]
    ran = subprocess.run([sys.executable, "-c", KILL_IN_A_CHECKPOINT, point, str(after), *arguments], check=False)
    assert ran.returncode == -signal.SIGKILL
    go_on = ["train", "--resume", str(out), "--threads", "1", "--checkpoint-steps", "4"]
    subprocess.run([sys.executable, "-m", "trm_harness", *go_on], check=True, capture_output=True, timeout=200)
    same(uninterrupted, out)
    assert not list((out / "checkpoints").glob(".*"))


def test_ctrl_c_leaves_a_run_that_resume_finishes(tmp_path: Path) -> None:
    recipe_file(tmp_path, RECIPE.replace("steps = 20", "steps = 2000"))
    out = tmp_path / "run"
    process = subprocess.Popen(
        command(tmp_path, "--out", str(out), "--set", "validate_every=0"), stderr=subprocess.PIPE, text=True
    )
    while not (out / "metrics.jsonl").exists() or not (out / "metrics.jsonl").stat().st_size:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    step = int(re.search(r"stopped at step (\d+); `trm-harness train --resume", said)[1])
    go_on = [sys.executable, "-m", "trm_harness", "train", "--resume", str(out), "--seconds", "0"]
    ran = subprocess.run(go_on, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stderr
    assert f"{step + 1} steps in" in ran.stdout
    assert len(json.loads((out / "train.json").read_text())["sessions"]) == 2


def test_eval_finds_the_number_that_training_reported(call: Call, tmp_path: Path) -> None:
    recipe_file(tmp_path, RECIPE.replace("validation_limit = 20", ""))
    said = call(*PLAIN, "--recipe", str(tmp_path / "recipe.toml"), "--out", "run")
    assert said.code == 0, said.err
    reported = json.loads(Path("run/train.json").read_text())["result"]["validation"]
    assert reported["n"] == 250
    scoring = re.search(r"score them: trm-harness (eval .*)", said.out)[1].split()
    assert scoring[-4:] == ["--split", "validation", "--dtype", "float32"]
    found = json.loads(call(*scoring, "--json").out)
    measured = {entry["name"]: entry["value"] for entry in found["measures"]}
    assert 0 < measured["cell"] < 1
    assert {name: measured[name] for name in ("cell", "exact")} == pytest.approx(
        {name: reported[name] for name in ("cell", "exact")}, abs=1e-12
    )
    assert (
        found["model"]["weights_sha256"]
        == json.loads(Path("run/train.json").read_text())["weights"]["weights.safetensors"]
    )


def test_a_dry_run_says_what_it_will_take_and_writes_nothing(call: Call, tmp_path: Path) -> None:
    recipe_file(tmp_path)
    said = call(*PLAIN, "--recipe", str(tmp_path / "recipe.toml"), "--out", "run", "--dry-run")
    assert said.code == 0, said.err
    assert "30 of batch 16 (1 processes x 1 micro-batches), 480 examples" in said.out
    assert "FLOPs in matrix products" in said.out
    assert "validation, 20 of 250 every 10 steps" in said.out
    assert not Path("run").exists()
    found = json.loads(call(*PLAIN, "--recipe", str(tmp_path / "recipe.toml"), "--dry-run", "--json").out)
    twice = (*PLAIN, "--recipe", str(tmp_path / "recipe.toml"), "--dry-run", "--json", "--steps", "60")
    assert json.loads(call(*twice).out)["flops"] == pytest.approx(2 * found["flops"], rel=1e-9)


def test_settings_steps_and_seed_change_the_recipe(call: Call, tmp_path: Path) -> None:
    recipe_file(tmp_path)
    changes = (
        "--set",
        "batch_size=8",
        "--set",
        "stage.2.lr=0.5",
        "--set",
        "source.augment=false",
        "--set",
        "loss=softmax_cross_entropy",
    )
    said = call(
        *PLAIN,
        "--recipe",
        str(tmp_path / "recipe.toml"),
        "--out",
        "run",
        "--steps",
        "6",
        "--seed",
        "9",
        *changes,
        "--json",
    )
    assert said.code == 0, said.err
    recipe = json.loads(said.out)["job"]["recipe"]
    assert (recipe["batch_size"], recipe["seed"], recipe["loss"]) == (8, 9, "softmax_cross_entropy")
    assert recipe["source"] == {"augment": False}
    assert [(s["steps"], s["warmup"], s["lr"]) for s in recipe["stages"]] == [(2, 1, 0.002), (4, 0, 0.5)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "bach_size=3"), "unknown key 'bach_size'"),
        (("--set", "stage.7.lr=1"), "there is no such stage: use stage.1 to stage.2"),
        (("--set", "lr"), "must be KEY=VALUE"),
        (("--set", "batch_size=many"), "batch_size must be a whole number"),
        (("--set", "accumulate=3"), "must divide batch_size"),
        (("--steps", "1"), "the recipe has 2 stages"),
        (("--log", "comet"), "--log comet does not exist: use tensorboard, wandb"),
        (("--set", "source.sides=[3]"), "unknown option 'sides'"),
        (("--trainer", "jax"), "unknown trainer 'jax'"),
        (("--processes", "2"), "trainer torch runs in one process"),
        (("--device", "tpu"), "device 'tpu' does not exist"),
        (("--weights", "nowhere.safetensors"), "nowhere.safetensors"),
        (("--set", "lr=-1", "--set", "ema_rate=1"), "lr must be a number from 0 up"),
        (("--set", "stage.lr=-1"), "lr must be a number from 0 up"),
        (("--set", "beta2=1"), "beta2 must be from 0 up and below 1"),
        (("--set", "deep_share=1.5"), "deep_share is a share of the rows, from 0 to 1"),
        (("--set", "halt_exploration=-0.1"), "halt_exploration is a share of the rows"),
    ],
)
def test_bad_choices_get_one_line_and_write_nothing(
    arguments: tuple[str, ...], message: str, call: Call, tmp_path: Path
) -> None:
    recipe_file(tmp_path)
    said = call(*PLAIN, "--recipe", str(tmp_path / "recipe.toml"), "--out", "run", *arguments)
    assert said.code == 2
    assert message in said.err
    assert not Path("run").exists()


def test_an_unknown_recipe_lists_those_there_are(call: Call) -> None:
    said = call(*PLAIN, "--recipe", "papr")
    assert said.code == 2
    assert "trm-mlp-5m.sudoku-extreme.paper" in said.err
    said = call("train", "--task", "sudoku-9x9", "--model", "trm-7m-singlez")
    assert "no recipe for trm-7m-singlez.sudoku-9x9 is shipped: give one with --recipe FILE" in said.err


def test_resume_takes_its_choices_from_the_run(call: Call, tmp_path: Path) -> None:
    recipe_file(tmp_path)
    Path("empty").mkdir()
    assert call("train", "--resume", "empty").code == 2
    assert "does not exist" in call("train", "--resume", "nowhere").err
    said = call("train", "--resume", "empty", "--task", "sudoku-4x4")
    assert "leave out task_id" in said.err
    said = call(*PLAIN, "--recipe", str(tmp_path / "recipe.toml"), "--out", "run", "--seconds", "0")
    assert said.code == 0, said.err
    again = call(*PLAIN, "--recipe", str(tmp_path / "recipe.toml"), "--out", "run")
    assert again.code == 2
    assert "holds a training run already: --resume run goes on with it" in again.err
    changed = call("train", "--resume", "run", "--set", "batch_size=8")
    assert changed.code == 2
    assert "was made with batch_size 16, the recipe says 8" in changed.err


def test_two_processes_cannot_train_into_one_folder(call: Call, tmp_path: Path) -> None:
    recipe_file(tmp_path)
    assert call(*PLAIN, "--recipe", str(tmp_path / "recipe.toml"), "--out", "run", "--seconds", "0").code == 0
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    hold = (
        "import sys; from pathlib import Path; from trm_harness.files.lock import alone\n"
        "with alone(Path('run')): print(1, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"1\n"
        said = call("train", "--resume", "run")
        assert said.code == 2
        assert "run is being written by another process: wait until it ends, or stop it" in said.err
        other.communicate()
    assert {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()} == before
    assert call("train", "--resume", "run", "--seconds", "0").code == 0


def test_training_can_begin_from_weights_and_says_what_those_saw(call: Call, tmp_path: Path) -> None:
    recipe_file(tmp_path)
    first = call(*PLAIN, "--recipe", str(tmp_path / "recipe.toml"), "--out", "first", "--steps", "3")
    assert first.code == 0, first.err
    more = call(
        *PLAIN, "--recipe", str(tmp_path / "recipe.toml"), "--out", "second", "--steps", "2", "--seed", "8",
        "--weights", "first/weights.safetensors", "--set", "source.puzzles=100", "--json",
    )  # fmt: skip
    assert more.code == 0, more.err
    told = json.loads(more.out)
    assert [data["puzzles"] for data in told["training"]["data"]] == [1486, 100]
    assert re.search("began from weights [0-9a-f]{12}", told["training"]["notes"])


def test_curves_and_listing(call: Call, tmp_path: Path) -> None:
    recipe_file(tmp_path)
    call(*PLAIN, "--recipe", str(tmp_path / "recipe.toml"), "--out", "runs/one")
    said = call("runs", "plot", "one", "runs/one", "--out", "both.png")
    assert said.code == 0, said.err
    assert Path("both.png").read_bytes().startswith(b"\x89PNG")
    assert "wrote runs/one/curves.png" in call("runs", "plot", "one").out
    listed = json.loads(call("runs", "list", "--training", "--json").out)
    assert [(run["run"], run["steps"], run["total"], run["state"]) for run in listed] == [("one", 30, 30, "finished")]
    assert "30/30" in call("runs", "list", "--training").out
    assert call("runs", "plot", "one", "--out", "both.bmp").code == 2
    Path("runs/other").mkdir()
    assert "give the folder of a training run" in call("runs", "plot", "other").err


def test_tensorboard_gets_what_the_log_has(call: Call, tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    recipe_file(tmp_path)
    said = call(*PLAIN, "--recipe", str(tmp_path / "recipe.toml"), "--out", "run", "--log", "tensorboard")
    assert said.code == 0, said.err
    found = events.EventAccumulator("run/tensorboard").Reload()
    rows = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    want = [(row["step"], row["loss"]) for row in rows if "loss" in row]
    got = [(event.step, event.value) for event in found.Scalars("train/loss")]
    assert [step for step, _ in got] == [step for step, _ in want]
    assert [value for _, value in got] == pytest.approx([value for _, value in want], rel=1e-6)
    assert [event.step for event in found.Scalars("validation/exact")] == [10, 20, 30]


@pytest.mark.slow
def test_wandb_offline_needs_no_account(
    tmp_path: Path, harness: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    pytest.importorskip("wandb")
    recipe_file(tmp_path)
    own = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_DIR": str(tmp_path)}
    said = harness(*PLAIN, "--recipe", "recipe.toml", "--out", "run", "--log", "wandb", **own)
    assert said.returncode == 0, said.stderr
    assert list(tmp_path.rglob("*.wandb"))
    assert os.path.getsize(next(iter(tmp_path.rglob("*.wandb")))) > 1000


def test_a_sink_that_is_not_installed_is_one_line(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    recipe_file(tmp_path)
    said = call(*PLAIN, "--recipe", str(tmp_path / "recipe.toml"), "--out", "run", "--log", "wandb")
    assert said.code == 2
    assert 'pip install "trm-harness[wandb]"' in said.err

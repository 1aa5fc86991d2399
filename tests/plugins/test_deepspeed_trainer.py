"""DeepSpeed for real: processes over gloo equal one of plain torch, resume on any number of them, and are launched."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.train.tiny import RECIPE, parts, recipe, recipe_file
from trm_harness.errors import BadInput
from trm_harness.train.checkpoint import load_checkpoint, save_checkpoint
from trm_harness.train.learner import Learner
from trm_trainer_deepspeed.config import make_config, read_config

pytest.importorskip("deepspeed")

STEPS = 8
TRAIN = ("train", "--task", "sudoku-4x4", "--model", "trm-nano", "--threads", "1", "--checkpoint-steps", "4")

RUN = """
import json, os, sys
from pathlib import Path
import torch
from tests.train.tiny import parts, recipe
from trm_harness.train.checkpoint import load_checkpoint, save_checkpoint
from trm_harness.train.learner import Learner
from trm_trainer_deepspeed.engine import DeepSpeedEngine

torch.set_num_threads(1)
given = json.loads(sys.argv[-1])
plan = recipe(accumulate=given["accumulate"], optimizer=given["optimizer"])
model, source = parts(plan, given["model"])
engine = DeepSpeedEngine(model.network, plan, {"zero_optimization": {"stage": given["stage"]}}, "test")
learner = Learner(model, source, plan, engine)
if given["resume"]:
    load_checkpoint(Path(given["resume"]), learner)
losses = [learner.advance()["loss"] for _ in range(given["steps"])]
save_checkpoint(Path(given["out"]), learner, {})
if engine.rank == 0:
    Path(given["out"], "losses.json").write_text(json.dumps(losses))
# As the harness' own workers end: at once, when all of them are done.
torch.distributed.barrier()
os._exit(0)
"""


def run(out: Path, processes: int, **choices: Any) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Train in so many processes; losses and the checkpoint's tensors."""
    given = {"stage": 0, "accumulate": 1, "optimizer": "adamatan2", "model": "trm-nano", "resume": "", "steps": STEPS}
    given |= {"out": str(out), **choices}
    out.mkdir()
    script = out / "run.py"
    script.write_text(RUN)
    line = [sys.executable, str(script), json.dumps(given)]
    if processes > 1:
        line[1:1] = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, capture_output=True, text=True, timeout=240, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    folder = max(out.glob("step-*"))
    return json.loads((out / "losses.json").read_text()), load_file(folder / "state.safetensors")


def plain(steps: int = STEPS, **changes: Any) -> tuple[list[float], Learner]:
    """The same with the plain engine, here."""
    torch.set_num_threads(1)
    model = changes.pop("model", "trm-nano")
    plan = recipe(**changes)
    learner = Learner(*parts(plan, model), plan)
    return [learner.advance()["loss"] for _ in range(steps)], learner


def close(tensors: dict[str, torch.Tensor], learner: Learner, atol: float) -> None:
    """Weights, average and moments of a checkpoint beside those of a learner."""
    own = {f"network.{k}": v for k, v in learner.network.state_dict().items()}
    own |= {f"ema.{k}": v for k, v in learner.ema.shadow.items()}
    own |= {f"optimizer.{k}": v for k, v in learner.engine.state().items()}
    assert own.keys() == {k for k in tensors if not k.startswith("carry.")}
    for name, value in own.items():
        torch.testing.assert_close(
            tensors[name].double(), value.double(), rtol=0, atol=atol, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_one_process_is_the_torch_trainer_to_the_bit(tmp_path: Path) -> None:
    losses, tensors = run(tmp_path / "one", 1)
    want, learner = plain()
    assert losses == want
    close(tensors, learner, 0)


def test_a_rank_that_a_parent_left_behind_is_no_launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    losses, _ = run(tmp_path / "child", 1, steps=1)
    assert losses == plain()[0][:1]


CASES = [(stage, accumulate, "trm-nano", "adamatan2") for stage in (0, 1, 2) for accumulate in (1, 2)]
CASES += [(0, 1, "trm-nano", "muon"), (0, 1, "hrm-nano", "adamatan2"), (1, 2, "hrm-nano", "adamatan2")]


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "accumulate", "model", "optimizer"), CASES)
def test_two_processes_equal_one(stage: int, accumulate: int, model: str, optimizer: str, tmp_path: Path) -> None:
    choices = {"model": model, "accumulate": accumulate, "optimizer": optimizer}
    losses, tensors = run(tmp_path / "two", 2, stage=stage, **choices)
    want, learner = plain(**choices)
    # Muon orthogonalises in bfloat16, which turns a last bit into a third digit.
    assert losses == pytest.approx(want, abs=3e-4 if optimizer == "muon" else 2e-6)
    close(tensors, learner, 2e-3 if optimizer == "muon" else 5e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "before", "after"), [(0, 2, 1), (0, 1, 2), (1, 2, 1), (2, 1, 2), (2, 2, 2)])
def test_a_run_resumes_on_another_number_of_processes(stage: int, before: int, after: int, tmp_path: Path) -> None:
    run(tmp_path / "first", before, stage=stage, steps=4)
    losses, tensors = run(tmp_path / "second", after, stage=stage, steps=4, resume=str(tmp_path / "first"))
    want, learner = plain()
    assert losses == pytest.approx(want[4:], abs=2e-6)
    close(tensors, learner, 5e-6)
    if before == after:
        _, whole = run(tmp_path / "whole", before, stage=stage)
        assert all(torch.equal(whole[name], tensors[name]) for name in whole)


@pytest.mark.slow
def test_a_run_of_plain_torch_goes_on_with_deepspeed(tmp_path: Path) -> None:
    _, learner = plain(4)
    save_checkpoint(tmp_path / "torch", learner, {})
    losses, tensors = run(tmp_path / "more", 1, stage=1, steps=4, resume=str(tmp_path / "torch"))
    want, learner = plain()
    assert losses == pytest.approx(want[4:], abs=1e-6)
    close(tensors, learner, 1e-6)
    back = plain(0)[1]
    assert load_checkpoint(tmp_path / "more", back)["processes"] == 1
    assert back.step == STEPS


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ({"train_batch_size": 12}, "train_batch_size is 12, the recipe makes it 8"),
        ({"gradient_accumulation_steps": 2}, "gradient_accumulation_steps is 2, the recipe makes it 1"),
        ({"train_micro_batch_size_per_gpu": 8}, "train_micro_batch_size_per_gpu is 8, the recipe makes it 4"),
        ({"optimizer": {"type": "Adam"}}, "has its own optimizer"),
        ({"scheduler": {"type": "WarmupLR"}}, "has its own scheduler"),
        ({"bf16": {"enabled": True}}, "bf16 is enabled, the recipe says dtype = 'float32'"),
        ({"zero_optimization": {"stage": 3}}, "ZeRO stage 3 cannot be used here"),
        ({"zero_optimization": None}, "zero_optimization must be a table of settings, not None"),
        ({"bf16": True}, "bf16 must be a table of settings, not True"),
    ],
)
def test_what_contradicts_the_recipe_is_refused(user: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make_config(recipe(), 2, user, "ds.json")


def test_what_does_not_is_taken_over() -> None:
    user = {
        "train_batch_size": "auto",
        "gradient_clipping": 0.5,
        "zero_optimization": {"stage": 1},
        "bf16": {"enabled": False},
    }
    config = make_config(recipe(), 2, user)
    assert (config["gradient_clipping"], config["zero_optimization"]["stage"]) == (0.5, 1)
    assert (config["train_batch_size"], config["train_micro_batch_size_per_gpu"]) == (8, 4)
    assert make_config(recipe(), 1, {})["gradient_clipping"] == 0.0
    with pytest.raises(BadInput, match="which Muon needs whole"):
        make_config(recipe(optimizer="muon"), 1, {"zero_optimization": {"stage": 1}})


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"zero_optimization": 3}', "[" * 5000])
def test_a_bad_settings_file_is_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "ds.json"
    path.write_text(text)
    with pytest.raises(BadInput, match="check --deepspeed-config"):
        read_config(str(path))


def harness(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trm_harness", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "deepspeed"])
def test_launched_from_the_command_line(launcher: str, tmp_path: Path) -> None:
    recipe_file(tmp_path)
    shared = (*TRAIN, "--recipe", "recipe.toml")
    two = harness(
        tmp_path, *shared, "--trainer", "deepspeed", "--processes", "2", "--launcher", launcher, "--out", "two"
    )
    assert two.returncode == 0, two.stderr + (tmp_path / "two" / "launch.log").read_text()[-2000:]
    one = harness(tmp_path, *shared, "--out", "one")
    assert one.returncode == 0, one.stderr
    told = [json.loads((tmp_path / name / "train.json").read_text()) for name in ("one", "two")]
    assert [t["result"]["processes"] for t in told] == [1, 2]
    # Validation is shared out over the processes and comes to the same numbers.
    assert told[0]["result"]["validation"] == told[1]["result"]["validation"]
    rows = [
        [json.loads(line) for line in (tmp_path / n / "metrics.jsonl").read_text().splitlines()] for n in ("one", "two")
    ]
    assert [r.get("step") for r in rows[0]] == [r.get("step") for r in rows[1]]
    losses = [[r["loss"] for r in log if "loss" in r] for log in rows]
    assert losses[0] == pytest.approx(losses[1], abs=5e-6)
    a, b = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    assert all(torch.allclose(a[k], b[k], atol=2e-5) for k in a)


@pytest.mark.slow
def test_ctrl_c_stops_all_processes_with_a_checkpoint_and_resume_finishes(tmp_path: Path) -> None:
    recipe_file(tmp_path, RECIPE.replace("steps = 20", "steps = 20000"))
    line = [sys.executable, "-m", "trm_harness", *TRAIN, "--recipe", "recipe.toml", "--out", "run"]
    line += ["--trainer", "deepspeed", "--processes", "2", "--set", "validate_every=0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(line, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "run" / "metrics.jsonl"
    ready = time.monotonic() + 120
    while not (log.exists() and log.stat().st_size):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < ready
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 130, said
    assert "stopped at step" in said
    on = harness(tmp_path, "train", "--resume", "run", "--processes", "2", "--seconds", "0")
    assert on.returncode == 0, on.stderr
    assert "(out of time)" in on.stdout
    alone = harness(tmp_path, "train", "--resume", "run", "--seconds", "0")
    assert alone.returncode == 0, alone.stderr
    assert "the checkpoint is of 2 processes, here are 1" in alone.stderr


@pytest.mark.slow
def test_a_killed_process_ends_the_run_and_resume_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    import psutil

    recipe_file(tmp_path)
    shared = (*TRAIN, "--recipe", "recipe.toml", "--trainer", "deepspeed", "--processes", "2")
    assert harness(tmp_path, *shared, "--out", "whole").returncode == 0
    line = [sys.executable, "-m", "trm_harness", *shared, "--out", "killed"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(line, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    while not any((tmp_path / "killed" / "checkpoints").glob("step-*")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    workers = [
        p for p in psutil.Process(process.pid).children(recursive=True) if "trm_harness.cli.worker" in p.cmdline()
    ]
    workers = [p for p in workers if "torch.distributed.run" not in p.cmdline()]
    workers[-1].kill()
    _, said = process.communicate(timeout=120)
    if process.returncode:  # else it was done before the blow fell
        assert process.returncode == 1
        assert "--resume killed goes on" in said
    on = harness(
        tmp_path, "train", "--resume", "killed", "--processes", "2", "--checkpoint-steps", "4", "--threads", "1"
    )
    assert on.returncode == 0, on.stderr
    a, b = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.slow
def test_no_process_outlives_the_command_that_started_it(tmp_path: Path) -> None:
    """Left over, they would go on writing into a run that somebody resumes."""
    import psutil

    recipe_file(tmp_path, RECIPE.replace("steps = 20", "steps = 20000"))
    line = [sys.executable, "-m", "trm_harness", *TRAIN, "--recipe", "recipe.toml", "--out", "run"]
    line += ["--trainer", "deepspeed", "--processes", "2", "--set", "validate_every=0"]
    process = subprocess.Popen(
        line, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 200
    while not any((tmp_path / "run" / "checkpoints").glob("step-*")):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)
    below = psutil.Process(process.pid).children(recursive=True)
    assert len(below) >= 3
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(below, timeout=60)
    assert not [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    on = harness(tmp_path, "train", "--resume", "run", "--processes", "2", "--seconds", "0")
    assert on.returncode == 0, on.stderr


def test_a_resumed_run_keeps_deepspeeds_settings(tmp_path: Path) -> None:
    from trm_harness.cli.train import _engine
    from trm_harness.train.session import Job

    job = Job("sudoku-4x4", "trm-nano", recipe(), "deepspeed")
    told = {"job": job.as_dict(), "sessions": [{"settings": {"engine": {"config": "ds.json"}}}]}
    (tmp_path / "train.json").write_text(json.dumps(told))
    assert _engine(None, job, tmp_path) == {"config": "ds.json"}
    assert _engine(Path("other.json"), job, tmp_path) == {"config": "other.json"}
    assert _engine(None, job, None) == {}


@pytest.mark.slow
def test_errors_of_the_processes_are_one_line(tmp_path: Path) -> None:
    recipe_file(tmp_path)
    shared = (*TRAIN, "--recipe", "recipe.toml", "--trainer", "deepspeed", "--out", "run")
    three = harness(tmp_path, *shared, "--processes", "3")
    assert three.returncode == 2
    assert "batch_size 16 does not divide by 3 processes" in three.stderr
    (tmp_path / "ds.json").write_text('{"train_batch_size": 99}')
    clash = harness(tmp_path, *shared, "--processes", "2", "--deepspeed-config", "ds.json")
    assert clash.returncode == 2, clash.stderr
    assert "ds.json: train_batch_size is 99, the recipe makes it 16" in clash.stderr
    assert "Traceback" not in clash.stderr


def test_without_the_package_it_says_which(tmp_path: Path) -> None:
    recipe_file(tmp_path)
    (tmp_path / "deepspeed.py").write_text("raise ImportError('not here')")
    said = harness(
        tmp_path, *TRAIN, "--recipe", "recipe.toml", "--trainer", "deepspeed", "--out", "run", PYTHONPATH=str(tmp_path)
    )
    assert said.returncode == 2
    assert 'pip install "trm-harness[deepspeed]"' in said.stderr
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize("text", ["", "a\n", "a slots=0\n", "a slots=x\n", "a slots=1 b\n"])
def test_a_bad_hostfile_names_its_line(text: str, tmp_path: Path) -> None:
    from trm_trainer_deepspeed.launch import read_hostfile

    path = tmp_path / "hosts"
    path.write_text(text)
    with pytest.raises(BadInput, match="hosts"):
        read_hostfile(path)


def test_this_machine_is_found_in_a_hostfile(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    from trm_trainer_deepspeed.launch import node_rank

    assert node_rank([("10.9.8.7", 1), (socket.gethostname(), 1)]) == 1
    monkeypatch.setenv("NODE_RANK", "1")
    assert node_rank([("a", 1), ("b", 1)]) == 1
    monkeypatch.delenv("NODE_RANK")
    with pytest.raises(BadInput, match=r"set NODE_RANK to 0 \.\.\. 1"):
        node_rank([("a", 1), ("b", 1)])


@pytest.fixture
def two_hosts() -> Iterator[tuple[str, str]]:
    """Two network namespaces joined by a cable: hosts as far as sockets can tell."""
    ip = shutil.which("ip")
    if ip is None or os.geteuid():
        pytest.skip("needs root and iproute2 for network namespaces")
    names = [f"trm{os.getpid()}a", f"trm{os.getpid()}b"]

    def call(*words: str) -> None:
        subprocess.run([ip, *words], check=True, capture_output=True)

    try:
        for name in names:
            call("netns", "add", name)
        call("link", "add", "trmv0", "netns", names[0], "type", "veth", "peer", "name", "trmv1", "netns", names[1])
        for place, name in enumerate(names):
            call("-n", name, "addr", "add", f"10.213.7.{place + 1}/24", "dev", f"trmv{place}")
            call("-n", name, "link", "set", f"trmv{place}", "up")
            call("-n", name, "link", "set", "lo", "up")
    except subprocess.CalledProcessError as error:
        for name in names:
            subprocess.run([ip, "netns", "del", name], capture_output=True, check=False)
        pytest.skip(f"network namespaces are not allowed here: {error.stderr.decode().strip()}")
    yield names[0], names[1]
    for name in names:
        subprocess.run([ip, "netns", "del", name], capture_output=True, check=False)


@pytest.mark.slow
def test_two_hosts_of_a_hostfile_equal_one_process(two_hosts: tuple[str, str], tmp_path: Path) -> None:
    recipe_file(tmp_path)
    (tmp_path / "hosts").write_text("10.213.7.1 slots=1\n10.213.7.2 slots=1\n")
    line = [sys.executable, "-m", "trm_harness", *TRAIN, "--recipe", "recipe.toml", "--trainer", "deepspeed"]
    line += ["--hostfile", "hosts", "--out"]
    running = []
    for place, host in enumerate(two_hosts):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": f"trmv{place}"}
        command = ["ip", "netns", "exec", host, *line, f"run{place}"]
        running.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True))
    said = [process.communicate(timeout=200)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    told = json.loads((tmp_path / "run0" / "train.json").read_text())
    assert told["result"]["processes"] == 2
    one = harness(tmp_path, *TRAIN, "--recipe", "recipe.toml", "--out", "one")
    assert one.returncode == 0, one.stderr
    a, b = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "run0"))
    assert all(torch.allclose(a[k], b[k], atol=2e-5) for k in a)

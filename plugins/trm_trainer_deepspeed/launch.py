"""Starting several processes: torchrun here or on the machines of a hostfile, or DeepSpeed's own launcher."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from trm_harness.errors import BadInput, CheckFailed
from trm_harness.files.write import write_text
from trm_harness.inference.interrupt import SIGNALS
from trm_harness.machine import resolve_device
from trm_harness.train.learner import check_split
from trm_harness.train.session import Job
from trm_harness.train.trainer import Settings

WORKER = "trm_harness.cli.worker"
LOG = "launch.log"
PORT = 29531
PARENT = "TRM_HARNESS_ENDS_WITH_STDIN"
"""Tells a worker that its standard input ends when the command that started everything is gone."""


def launch(
    job: Job,
    out: Path,
    *,
    resume: bool,
    settings: Settings,
    command: str,
    processes: int = 1,
    launcher: str | None = None,
    hostfile: Path | None = None,
) -> int:
    """Run ``job`` in several processes and wait for them; 0 if all is well.

    Progress of the first process goes to stderr, everything else that they say to ``launch.log``. Raises what a
    process raised. SIGINT, SIGTERM and SIGHUP are passed on once: every process finishes its step and writes the
    checkpoint.
    """
    if importlib.util.find_spec("deepspeed") is None:
        raise BadInput('--trainer deepspeed needs its package: pip install "trm-harness[deepspeed]"')
    hosts = read_hostfile(hostfile) if hostfile else []
    if hosts and processes > 1:
        raise BadInput(f"{hostfile}: says how many processes each machine runs: leave --processes out")
    _check(job, [count for _, count in hosts] or [processes])
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("launch-*.error"):
        old.unlink()
    values = asdict(settings)
    values["seconds"] = settings.seconds
    given = {"job": job.as_dict(), "out": str(out), "resume": resume, "settings": values, "command": command}
    by_deepspeed = launcher == "deepspeed"
    # Machines may share the folder: each writes its own file.
    place = node_rank(hosts) if hosts and not by_deepspeed else 0
    file = out / f"launch-{place}.json"
    write_text(file, json.dumps(given, indent=1))
    line = _deepspeed(processes, hostfile) if by_deepspeed else _torchrun(processes, hosts, place)
    code = _run([*line, str(file)], out / LOG, _environment(job))
    return _outcome(out, code)


def read_hostfile(path: Path) -> list[tuple[str, int]]:
    """``(machine, slots)`` of a hostfile in DeepSpeed's form: ``name slots=N``, ``#`` comments. ``BadInput`` else."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: cannot be read ({error}): check --hostfile") from None
    hosts: list[tuple[str, int]] = []
    for number, text in enumerate(lines, start=1):
        words = text.partition("#")[0].split()
        if not words:
            continue
        name, _, slots = (words[1] if len(words) == 2 else "").partition("=")
        if name != "slots" or not slots.isdecimal() or not 0 < int(slots) < 1000:
            raise BadInput(f"{path}, line {number}: must be 'machine slots=N', not {text.strip()!r}")
        hosts.append((words[0], int(slots)))
    if not hosts:
        raise BadInput(f"{path}: names no machine: write one 'machine slots=N' a line")
    return hosts


def node_rank(hosts: Sequence[tuple[str, int]]) -> int:
    """Which of ``hosts`` this machine is: NODE_RANK where it is set, else by its name or one of its addresses."""
    given = os.environ.get("NODE_RANK", "")
    if given.isdecimal() and int(given) < len(hosts):
        return int(given)
    own = {socket.gethostname(), socket.getfqdn()}
    own |= {address.address for found in psutil.net_if_addrs().values() for address in found}
    own -= {"127.0.0.1", "::1"}
    places = [index for index, (name, _) in enumerate(hosts) if name in own]
    if len(places) != 1:
        names = ", ".join(name for name, _ in hosts)
        raise BadInput(f"this machine is none of {names}, or several: set NODE_RANK to 0 ... {len(hosts) - 1}")
    return places[0]


def _check(job: Job, slots: Sequence[int]) -> None:
    if len(set(slots)) > 1:
        raise BadInput(f"the machines have {', '.join(map(str, slots))} slots: give each as many")
    check_split(job.recipe, sum(slots))


def _torchrun(processes: int, hosts: Sequence[tuple[str, int]], place: int) -> list[str]:
    start = [sys.executable, "-m", "torch.distributed.run"]
    if not hosts:
        return [*start, "--standalone", "--nproc-per-node", str(processes), "-m", WORKER]
    where = ["--nnodes", str(len(hosts)), "--node-rank", str(place), "--nproc-per-node", str(hosts[0][1])]
    return [*start, *where, "--master-addr", hosts[0][0], "--master-port", str(PORT), "-m", WORKER]


def _deepspeed(processes: int, hostfile: Path | None) -> list[str]:
    start = [sys.executable, "-m", "deepspeed.launcher.runner"]
    where = ["--hostfile", str(hostfile)] if hostfile else ["--hostfile", os.devnull, "--num_gpus", str(processes)]
    return [*start, *where, "--module", WORKER]


def _environment(job: Job) -> dict[str, str]:
    device = resolve_device(job.device)
    own = {"DS_ACCELERATOR": "cuda" if device.startswith("cuda") else "cpu", "PYTHONUNBUFFERED": "1", PARENT: "1"}
    if job.threads:
        own["OMP_NUM_THREADS"] = str(job.threads)
    return {**os.environ, **own}


def _run(line: Sequence[str], log: Path, environment: dict[str, str]) -> int:
    """Start the launcher in a session of its own, so that a terminal's Ctrl-C reaches it through us alone.

    Nothing is ever written to its standard input: that ends when this process does, and the workers with it.
    """
    with log.open("wb") as noise:
        process = subprocess.Popen(
            line,
            stdin=subprocess.PIPE,
            stdout=noise,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
            text=True,
        )
        with _passing_on(process):
            for text in process.stderr or ():
                if text.startswith(("step ", "the checkpoint is of", "torch.compile fails", "finishing this batch")):
                    sys.stderr.write(text)
                    sys.stderr.flush()
                else:
                    noise.write(text.encode())
            return process.wait()


@contextmanager
def _passing_on(process: subprocess.Popen[str]) -> Iterator[None]:
    """While entered, the first signal to stop asks every worker to; the second ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os.killpg(process.pid, signal.SIGKILL)
        asked = True
        for worker in _workers(process.pid):
            worker.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _workers(launcher: int) -> list[psutil.Process]:
    """The training processes below a launcher, not the launchers between."""
    try:
        below = psutil.Process(launcher).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [process for process in below if _is_worker(process)]


def _is_worker(process: psutil.Process) -> bool:
    try:
        line = process.cmdline()
    except psutil.Error:
        return False
    return WORKER in line and "torch.distributed.run" not in line and not any("deepspeed.launcher" in w for w in line)


def _outcome(out: Path, code: int) -> int:
    """Raise what a process said went wrong; else the launcher's exit code."""
    errors = sorted(out.glob("launch-*.error"))
    for path in errors:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        path.unlink()
        raise (BadInput if found["exit_code"] == BadInput.exit_code else CheckFailed)(found["message"])
    if code:
        raise CheckFailed(f"a training process ended with exit code {code}: see {out / LOG}; --resume {out} goes on")
    return 0

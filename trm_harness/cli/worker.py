"""One of several training processes: ``python -m trm_harness.cli.worker JOB.json``, started by a trainer's launcher.

The job file says everything. Only the first process reports; one that fails leaves its line beside the job, so that
the command that started them all can say it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trm_harness.errors import HarnessError

if TYPE_CHECKING:
    from trm_harness.train.session import Job


def main(path: Path) -> int:
    """Run the job in ``path``; the exit code."""
    rank = int(os.environ.get("RANK", "0"))
    try:
        _work(json.loads(path.read_text("utf-8")), path, rank)
    except HarnessError as error:
        line = {"message": str(error), "exit_code": error.exit_code}
        (path.parent / f"{path.stem}-{rank}.error").write_text(json.dumps(line), "utf-8")
        return error.exit_code
    return 0


def _work(given: dict[str, Any], path: Path, rank: int) -> None:
    from trm_harness.cli.training import Lines
    from trm_harness.train.loop import Settings, Watch
    from trm_harness.train.session import Job, run

    job = _on_own_device(Job.of(given["job"], str(path)))
    settings = Settings(**{**given["settings"], "sinks": tuple(given["settings"]["sinks"])})
    watch = (
        Watch(Lines(job.recipe.total_steps), lambda message: click.echo(message, err=True)) if rank == 0 else Watch()
    )
    run(job, Path(given["out"]), resume=given["resume"], settings=settings, watch=watch, command=given["command"])


def _on_own_device(job: Job) -> Job:
    """With several GPUs each process takes the one of its local rank."""
    import dataclasses

    import torch

    from trm_harness.environment import resolve_device

    if not resolve_device(job.device).startswith("cuda"):
        return job
    local = int(os.environ.get("LOCAL_RANK", "0"))
    torch.cuda.set_device(local)
    return dataclasses.replace(job, device=f"cuda:{local}")


if __name__ == "__main__":
    # DeepSpeed's launcher puts its own --local_rank before the job.
    sys.exit(main(Path(sys.argv[-1])))

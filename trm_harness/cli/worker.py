"""One of several training processes: ``python -m trm_harness.cli.worker JOB.json``, started by a trainer's launcher.

The job file says everything. Only the first process reports; one that fails leaves its line beside the job, so that
the command that started them all can say it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from trm_harness.errors import HarnessError
from trm_harness.files.write import write_text

if TYPE_CHECKING:
    from trm_harness.train.session import Job


ENDS_WITH_STDIN = "TRM_HARNESS_ENDS_WITH_STDIN"
"""Set by a launcher that holds the other end of standard input."""


def main(path: Path) -> int:
    """Run the job in ``path``; the exit code."""
    if ENDS_WITH_STDIN in os.environ:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    rank = int(os.environ.get("RANK", "0"))
    try:
        _work(json.loads(path.read_text("utf-8")), path, rank)
    except HarnessError as error:
        line = {"message": str(error), "exit_code": error.exit_code}
        write_text(path.parent / f"{path.stem}-{rank}.error", json.dumps(line))
        return error.exit_code
    return 0


def _end_with_stdin() -> None:
    """Die with the command that started us: a process left over would write into a run that was resumed meanwhile."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def _work(given: dict[str, Any], path: Path, rank: int) -> None:
    from trm_harness.train.progress import Lines
    from trm_harness.train.session import Job, run
    from trm_harness.train.trainer import Settings, Watch

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

    from trm_harness.machine import is_accelerator, resolve_device

    device = resolve_device(job.device)
    if not is_accelerator(device):
        return job
    local = int(os.environ.get("LOCAL_RANK", "0"))
    torch.accelerator.set_device_index(local)
    return dataclasses.replace(job, device=f"{device.partition(':')[0]}:{local}")


def _leave(code: int) -> NoReturn:
    """End at once: everything is on the disk, and threads of a process group may abort an ordinary exit."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    # DeepSpeed's launcher puts its own --local_rank before the job.
    _leave(main(Path(sys.argv[-1])))

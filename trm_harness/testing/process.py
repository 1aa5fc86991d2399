"""A process of its own for what must not depend on this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from trm_harness.contracts import Task
from trm_harness.fingerprint import dataset_sha256

HEAD = 4
"""Puzzles of each split that are compared."""


def environment(**changes: str) -> dict[str, str]:
    """This process's environment with its import path, whatever folder the other one starts in."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **changes}


def portrait(task: Task) -> dict[str, Any]:
    """What must be the same in every process: content of every split, its hash, names of views, encodings."""
    found: dict[str, Any] = {}
    for split in task.spec.splits:
        puzzles = task.puzzles(split)
        head = [puzzles[index] for index in range(min(HEAD, len(puzzles)))]
        found[split] = [len(puzzles), dataset_sha256(head), task.source(split).sha256]
        found[f"views of {split}"] = [list(task.transforms(puzzle, 4, 1)) for puzzle in head[:4]]
        found[f"tokens of {split}"] = [task.encode(puzzle, "", {}).tokens.tolist()[:64] for puzzle in head[:2]]
    return found


def portrait_elsewhere(task_id: str, data: Path | None) -> dict[str, Any]:
    """:func:`portrait` of a registered task by another process, with another hash seed for strings."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, task_id, *([str(data.resolve())] if data else [])],
        env=environment(PYTHONHASHSEED="12345"),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"another process cannot make the task: {done.stderr.strip()[-400:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _main(task_id: str, data: str = "") -> None:
    from trm_harness.files.hub import cache_only
    from trm_harness.registry import default

    registry = default()
    with cache_only():
        task = registry.task(task_id, Path(data) if data else None)
        print(json.dumps(portrait(task)))


if __name__ == "__main__":
    _main(*sys.argv[1:])

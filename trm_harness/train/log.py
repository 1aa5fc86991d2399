"""The log of a training run, ``metrics.jsonl``: a line per step and per validation. Reading it needs no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trm_harness.errors import BadInput
from trm_harness.files.names import METRICS_FILE
from trm_harness.files.write import write_text


def forget_lost_steps(log: Path, step: int) -> None:
    """Cut a log down to the steps up to ``step``: those after the checkpoint are about to be taken again."""
    if not log.exists():
        return
    try:
        kept = [line for line in _whole_lines(log) if json.loads(line)["step"] <= step]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise BadInput(f"{log}: is damaged ({error}): mend the line, or move the log away to resume") from None
    write_text(log, "".join(kept))


def read_metrics(out: Path) -> list[dict[str, Any]]:
    """Rows of a run's log, a torn last line left out. ``BadInput`` if there is none or it is damaged."""
    log = out / METRICS_FILE
    try:
        return [json.loads(line) for line in _whole_lines(log)]
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(
            f"{log}: cannot be read as a training log ({error}): give the folder of a training run"
        ) from None


def _whole_lines(log: Path) -> Iterator[str]:
    with log.open(encoding="utf-8") as file:
        yield from (line for line in file if line.endswith("\n"))

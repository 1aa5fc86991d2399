"""Where metrics go: a JSONL file always, TensorBoard and Weights & Biases for those who ask and have them."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from trm_harness.errors import BadInput
from trm_harness.files.names import METRICS_FILE
from trm_harness.train.recipe import Recipe


class Sink(Protocol):
    """Gets every row: a step's metrics, or a validation under ``validation``."""

    def write(self, row: Mapping[str, Any]) -> None:
        """Take one row."""
        ...

    def flush(self) -> None:
        """Bring what was written to where it lasts."""
        ...

    def close(self) -> None:
        """No more rows."""
        ...


class JsonLines:
    """``metrics.jsonl``: a line per row."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def write(self, row: Mapping[str, Any]) -> None:
        """One line; NaN becomes null, which every JSON reader takes."""
        plain = {name: None if value != value else value for name, value in row.items()}
        self._file.write(json.dumps(plain) + "\n")
        if "validation" in row:
            self._file.flush()

    def flush(self) -> None:
        """To the disk, so that the log never lacks what a checkpoint has."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorBoard:
    """Event files under ``tensorboard/``."""

    def __init__(self, out: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise BadInput('--log tensorboard needs its package: pip install "trm-harness[tensorboard]"') from None
        self._writer = SummaryWriter(str(out / "tensorboard"))

    def write(self, row: Mapping[str, Any]) -> None:
        """A scalar per number."""
        for name, value in numbers(row):
            self._writer.add_scalar(name, value, row["step"])

    def flush(self) -> None:
        """Write what is buffered."""
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()


class WandB:
    """A Weights & Biases run; its own environment variables rule (``WANDB_MODE=offline`` needs no account)."""

    def __init__(self, out: Path, recipe: Recipe) -> None:
        wandb = _wandb()
        try:
            self._run = wandb.init(
                project="trm-harness", name=out.name, dir=str(out), config=recipe.as_dict(), resume="allow"
            )
        except wandb.errors.Error as error:
            reason = " ".join(str(error).split())[:200]
            raise BadInput(f"--log wandb: {reason}: set WANDB_MODE=offline, or leave out --log wandb") from None

    def write(self, row: Mapping[str, Any]) -> None:
        """All numbers of a row at once."""
        self._run.log(dict(numbers(row)), step=int(row["step"]))

    def flush(self) -> None:
        """Its own process takes care of that."""

    def close(self) -> None:
        """End the run."""
        self._run.finish()


SINKS: Mapping[str, Callable[[Path, Recipe], Sink]] = {
    "tensorboard": lambda out, recipe: TensorBoard(out),
    "wandb": WandB,
}


def open_sinks(stack: contextlib.ExitStack, out: Path, names: tuple[str, ...], recipe: Recipe) -> list[Sink]:
    """The JSONL file and the named ones; ``stack`` closes them."""
    opened: list[Sink] = []
    for make in (lambda out, recipe: JsonLines(out / METRICS_FILE), *(known_sink(name) for name in names)):
        opened.append(make(out, recipe))
        stack.callback(opened[-1].close)
    return opened


def check_sinks(names: Iterable[str]) -> None:
    """``BadInput`` for a sink that does not exist, or that has nobody's account to write to."""
    for name in names:
        known_sink(name)
        if name == "wandb" and os.environ.get("WANDB_MODE", "online").lower() == "online":
            _check_login()


def _check_login() -> None:
    wandb = _wandb()
    try:
        here = wandb.login(prompt=False)
    except TypeError:  # clients before 0.26 ask, or look themselves
        here = bool(wandb.api.api_key)
    except (wandb.errors.Error, ValueError):
        here = False
    if not here:
        remedy = "run `wandb login`, set WANDB_MODE=offline, or leave out --log wandb"
        raise BadInput(f"Weights & Biases is not logged in here: {remedy}")


def _wandb() -> Any:
    try:
        import wandb
    except ImportError:
        raise BadInput('--log wandb needs its package: pip install "trm-harness[wandb]"') from None
    return wandb


def known_sink(name: str) -> Callable[[Path, Recipe], Sink]:
    """The maker of sink ``name``; ``BadInput`` for an unknown one."""
    if name not in SINKS:
        raise BadInput(f"--log {name} does not exist: use {', '.join(SINKS)} (metrics.jsonl is always written)")
    return SINKS[name]


def numbers(row: Mapping[str, Any], prefix: str = "train") -> Iterator[tuple[str, float]]:
    """Names and finite numbers of a row, as dashboards group them: ``train/loss``, ``validation/exact``."""
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from numbers(value, name)
        elif isinstance(value, int | float) and name != "step" and value - value == 0:
            yield f"{prefix}/{name}", float(value)

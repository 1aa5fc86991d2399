"""The loop every trainer shares: advance, log, validate, keep checkpoints, stop in time, write weights."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from trm_harness.environment import peak_memory
from trm_harness.errors import CheckFailed
from trm_harness.evaluate.interrupt import Interrupt
from trm_harness.nn.kernels import compile_stacks, plain_kernels
from trm_harness.train.checkpoint import load_checkpoint, save_checkpoint
from trm_harness.train.data import batches
from trm_harness.train.learner import Learner
from trm_harness.train.log import METRICS, forget_lost_steps
from trm_harness.train.sinks import Sink, open_sinks

CHECKPOINTS = "checkpoints"
WEIGHTS = "weights.safetensors"
BEST = "weights-best.safetensors"

Validate = Callable[[Any, int, int], Mapping[str, float]]
"""``(model, rank, world)`` to sums over this process's share of the held-out puzzles: ``n`` and each measure."""


@dataclass(frozen=True)
class Settings:
    """How a run is carried out, as against what it computes (that is the recipe's).

    A checkpoint every ``every`` seconds and every ``every_steps`` steps (0: by the clock alone), the last ``keep`` of
    them kept (0: all). ``seconds`` ends this sitting, ``workers`` processes draw batches ahead of time, ``compile``
    ``False`` overrules the recipe's, ``sinks`` get the metrics besides ``metrics.jsonl``. ``engine`` is the trainer's
    own business.
    """

    every: float = 300.0
    every_steps: int = 0
    keep: int = 2
    seconds: float = math.inf
    workers: int = 0
    compile: bool = True
    sinks: tuple[str, ...] = ()
    engine: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Watch:
    """Who is told: ``report`` each metrics row, ``say`` each message."""

    report: Callable[[dict[str, Any]], None] = lambda row: None
    say: Callable[[str], None] = lambda message: None


@dataclass
class Progress:
    """What a run knows of itself besides the learner's state; lies in every checkpoint."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    best: float = -1.0
    best_step: int = 0
    validation: dict[str, float] = field(default_factory=dict)
    validated: int = -1
    stale: int = 0
    smooth: float = 0.0
    lowest: float = math.inf

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; no infinity in it."""
        return {**self.__dict__, "lowest": self.lowest if math.isfinite(self.lowest) else -1.0}

    @staticmethod
    def of(data: Mapping[str, Any]) -> Progress:
        """Undo :meth:`as_dict`; what an older checkpoint does not say keeps its default."""
        known = {name: data[name] for name in Progress().__dict__ if name in data}
        if known.get("lowest", 0.0) < 0:
            known["lowest"] = math.inf
        return Progress(**known)


def fit(
    learner: Learner,
    out: Path,
    *,
    resume: bool = False,
    validate: Validate | None = None,
    settings: Settings | None = None,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Train to the recipe's end, or until time, patience or the user says stop; always leaves a checkpoint.

    Under ``out``: ``metrics.jsonl`` (a line per step and per validation), ``checkpoints/``, ``weights.safetensors``
    (average) and ``weights-raw.safetensors`` of the last step, and with ``validate`` the best step's in
    ``weights-best*.safetensors``. Returns steps, seconds, why it stopped and the validations. ``CheckFailed`` if the
    loss is not finite or runs away: the checkpoints before it stay.
    """
    return _Sitting(learner, out, validate, settings or Settings(), watch or Watch()).go(resume)


class _Sitting:
    """One stretch of training between two starts of the process."""

    def __init__(
        self, learner: Learner, out: Path, validate: Validate | None, settings: Settings, watch: Watch
    ) -> None:
        self.learner, self.out, self.validate = learner, out, validate
        self.settings, self.watch = settings, watch
        self.progress, self.leads = Progress(), learner.engine.rank == 0
        self._began = self._saved = time.monotonic()
        self._cpu = time.process_time()

    def go(self, resume: bool) -> dict[str, Any]:
        learner, recipe = self.learner, self.learner.recipe
        if resume:
            self._resume()
        if recipe.compile and self.settings.compile:
            compile_stacks(learner.network, self.watch.say)
        drawn = batches(learner.draws, learner.step + 1, recipe.total_steps, self.settings.workers)
        why = "finished"
        with self._sinks() as sinks, Interrupt(self.watch.say) as interrupt:
            while learner.step < recipe.total_steps:
                if self._patience_is_over():
                    why = "stopped early"
                    break
                row = learner.advance(next(drawn), flags=(interrupt.asked, self._is_over(), self._is_due()))
                asked, over, due = row.pop("flags")
                self._after(row, bool(due), sinks)
                if asked or over:
                    why = "interrupted" if asked else "out of time"
                    break
            if self.validate and why != "interrupted" and self.progress.validated != learner.step:
                self._validate(sinks)
        return self._finish(why)

    def _resume(self) -> None:
        saved = load_checkpoint(self.out / CHECKPOINTS, self.learner)
        self.progress = Progress.of(saved)
        now, before = self.learner.engine.world, saved["processes"]
        if now != before:
            self.watch.say(
                f"the checkpoint is of {before} processes, here are {now}: same batches and schedule, but sums are "
                "taken in another order, so the weights equal those of an unchanged run up to rounding"
            )
        if self.leads:
            forget_lost_steps(self.out / METRICS, self.learner.step)

    def _is_over(self) -> bool:
        return self.leads and self._elapsed() >= self.settings.seconds

    def _is_due(self) -> bool:
        """Whether the clock, that of the first process, asks for a checkpoint."""
        return self.leads and time.monotonic() - self._saved > self.settings.every

    def _after(self, row: dict[str, Any], save: bool, sinks: list[Sink]) -> None:
        """Everything between two steps."""
        learner, recipe = self.learner, self.learner.recipe
        self._check_loss(row["loss"], row["step"])
        row["seconds"] = self.progress.seconds + self._elapsed()
        self._tell(row, sinks)
        due = recipe.validate_every and learner.step % recipe.validate_every == 0
        if self.validate and (due or learner.step == recipe.total_steps):
            self._validate(sinks)
        by_steps = self.settings.every_steps and learner.step % self.settings.every_steps == 0
        if by_steps or save:
            self._save(sinks)

    def _tell(self, row: dict[str, Any], sinks: list[Sink]) -> None:
        if self.leads:
            for sink in sinks:
                sink.write(row)
            self.watch.report(row)

    def _check_loss(self, loss: float, step: int) -> None:
        """``CheckFailed`` for a loss that is no number, or that has run away for good from where it was."""
        progress = self.progress
        stage, place = self.learner.recipe.stage_at(step)
        hint = "lower lr (or raise warmup, or use loss = stablemax_cross_entropy)"
        if not math.isfinite(loss):
            raise CheckFailed(f"loss is {loss} at step {step}: {hint}; {self._last_good()}")
        if place == 1:
            # Another stage may think less deeply: its loss starts elsewhere.
            progress.smooth, progress.lowest = loss, math.inf
        progress.smooth += 0.02 * (loss - progress.smooth)
        if place > max(100, stage.warmup):
            progress.lowest = min(progress.lowest, progress.smooth)
            if progress.smooth > 3 * progress.lowest + 0.5:
                raise CheckFailed(
                    f"loss runs away: {progress.smooth:.3g} on average at step {step}, it was {progress.lowest:.3g}: "
                    f"{hint}; {self._last_good()}"
                )

    def _last_good(self) -> str:
        found = sorted((self.out / CHECKPOINTS).glob("step-*"))
        return f"the last good state is {found[-1].relative_to(self.out)}" if found else "no checkpoint was written yet"

    def _validate(self, sinks: list[Sink]) -> None:
        """Let the average answer the held-out puzzles; keep its weights if it never did better."""
        learner, progress = self.learner, self.progress
        began = time.monotonic()
        with averaged(learner), plain_kernels():
            own = self.validate(learner.model, learner.engine.rank, learner.engine.world)
        names = list(own)
        packed = torch.tensor([own[name] for name in names], dtype=torch.float64, device=learner.network.device)
        sums = dict(zip(names, learner.engine.sum(packed).tolist(), strict=True))
        count = sums.pop("n")
        found = {name: value / count for name, value in sums.items()}
        progress.validation, progress.stale = {"n": int(count), **found}, progress.stale + 1
        progress.validated = learner.step
        if found["exact"] > progress.best:
            progress.best, progress.best_step, progress.stale = found["exact"], learner.step, 0
            if self.leads:
                write_weights(learner, self.out, "weights-best", f"best of the validations so far, step {learner.step}")
        row = {"step": learner.step, "validation": progress.validation, "validation_seconds": time.monotonic() - began}
        self._tell(row, sinks)

    def _patience_is_over(self) -> bool:
        patience = self.learner.recipe.patience
        return bool(patience) and self.progress.stale >= patience

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _save(self, sinks: list[Sink] | None = None) -> None:
        for sink in sinks or []:
            sink.flush()
        so_far = {
            "seconds": self.progress.seconds + self._elapsed(),
            "cpu_seconds": self.progress.cpu_seconds + time.process_time() - self._cpu,
        }
        save_checkpoint(self.out / CHECKPOINTS, self.learner, self.progress.as_dict() | so_far, self.settings.keep)
        self._saved = time.monotonic()

    def _finish(self, why: str) -> dict[str, Any]:
        learner, progress = self.learner, self.progress
        self._save()
        choice = f"step {learner.step} of {learner.recipe.total_steps}"
        if self.leads:
            write_weights(learner, self.out, "weights", choice)
        return {
            "steps": learner.step,
            "seconds": progress.seconds + self._elapsed(),
            "cpu_seconds": progress.cpu_seconds + time.process_time() - self._cpu,
            "examples": learner.step * learner.recipe.batch_size,
            "processes": learner.engine.world,
            "stopped": why,
            "peak_memory_bytes": peak_memory(str(learner.network.device)),
            "validation": progress.validation if progress.validated == learner.step else {},
            "best": {"exact": progress.best, "step": progress.best_step} if progress.best_step else {},
        }

    @contextlib.contextmanager
    def _sinks(self) -> Iterator[list[Sink]]:
        with contextlib.ExitStack() as stack:
            yield open_sinks(stack, self.out, self.settings.sinks, self.learner.recipe) if self.leads else []


@contextlib.contextmanager
def averaged(learner: Learner) -> Iterator[None]:
    """While entered the network holds its average weights and its own number of cycles."""
    raw = {name: p.detach().clone() for name, p in learner.network.named_parameters()}
    cycles, learner.network.cycles = learner.network.cycles, learner.own_cycles
    _fill(learner.network, learner.ema.shadow)
    try:
        yield
    finally:
        _fill(learner.network, raw)
        learner.network.cycles = cycles


@torch.no_grad()
def _fill(network: torch.nn.Module, values: Mapping[str, torch.Tensor]) -> None:
    for name, p in network.named_parameters():
        p.copy_(values[name])


def write_weights(learner: Learner, out: Path, name: str, choice: str) -> None:
    """Write ``<name>.safetensors`` (average) and ``<name>-raw.safetensors`` with what they were trained on."""
    declared = {"checkpoint_choice": choice, **learner.source.declaration}
    learner.model.save(out / f"{name}-raw.safetensors", card="", training=declared)
    with averaged(learner):
        learner.model.save(out / f"{name}.safetensors", card="", training=declared)

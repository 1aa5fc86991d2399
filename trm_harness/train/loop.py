"""The loop every trainer shares: advance, log, validate, keep checkpoints, stop in time, write weights."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from trm_harness import machine
from trm_harness.contracts import TrainingRows
from trm_harness.errors import CheckFailed
from trm_harness.files.names import METRICS_FILE
from trm_harness.inference.interrupt import Interrupt
from trm_harness.nn.kernels import bfloat16_factor, compile_stacks, plain_kernels
from trm_harness.train.checkpoint import load_checkpoint, save_checkpoint
from trm_harness.train.data import batches
from trm_harness.train.engine import Engine
from trm_harness.train.learner import Learner, Taken
from trm_harness.train.log import forget_lost_steps
from trm_harness.train.sinks import Sink, open_sinks
from trm_harness.train.trainer import Settings, TrainerJob, TrainResult, Validate, Watch

CHECKPOINTS = "checkpoints"

BETWEEN = 1.0
"""Seconds after which the numbers of an accelerator's steps are brought over: it need not be waited for at each."""

SLOW = 2.5
"""From this factor on bfloat16 is worth a warning."""


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


def fit_job(job: TrainerJob, engine: Engine | None = None) -> TrainResult:
    """The shared loop on a trainer's job, its steps taken by ``engine`` (the plain torch one if it is left out)."""
    choices = {"resume": job.resume, "validate": job.validate, "settings": job.settings, "watch": job.watch}
    return fit(job.learner(engine), job.out, **choices)


def fit(
    learner: Learner,
    out: Path,
    *,
    resume: bool = False,
    validate: Validate | None = None,
    settings: Settings | None = None,
    watch: Watch | None = None,
) -> TrainResult:
    """Train to the recipe's end, or until time, patience or the user says stop; always leaves a checkpoint.

    Under ``out``: ``metrics.jsonl`` (a line per step and per validation), ``checkpoints/``, ``weights.safetensors``
    (average) and ``weights-raw.safetensors`` of the last step, and with ``validate`` the best step's in
    ``weights-best*.safetensors``. ``CheckFailed`` if the loss is not finite or runs away: the checkpoints before it
    stay.
    """
    return _Sitting(learner, out, validate, settings or Settings(), watch or Watch()).go(resume)


class _Sitting:
    """One stretch of training between two starts of the process."""

    def __init__(
        self, learner: Learner, out: Path, validate: Validate | None, settings: Settings, watch: Watch
    ) -> None:
        self.learner, self.out, self.validate = learner, out, validate
        self.progress, self.leads = Progress(), learner.engine.rank == 0
        self.settings = settings
        self.watch = watch if self.leads else replace(watch, say=lambda message: None)
        self._gathers = machine.is_accelerator(str(learner.network.device)) and learner.engine.world == 1
        self._taken: list[tuple[Taken, float]] = []
        self._told_of_labels = False
        self._began = self._saved = self._told = time.monotonic()
        self._cpu = time.process_time()

    def go(self, resume: bool) -> TrainResult:
        learner, recipe = self.learner, self.learner.recipe
        self.watch.started(learner.engine.rank)
        if resume:
            self._resume()
        self._warn_of_bfloat16()
        if recipe.compile and self.settings.compile:
            compile_stacks(learner.network, self.watch.say)
        # Where every core trains, none is left to draw.
        workers = 0 if learner.engine.world > 1 and self.settings.workers is None else self.settings.workers
        drawn = batches(learner.draws, learner.step + 1, recipe.total_steps, workers)
        why = "finished"
        with self._sinks() as sinks, Interrupt(self.watch.say) as interrupt:
            while learner.step < recipe.total_steps:
                if self._patience_is_over():
                    why = "stopped early"
                    break
                batch = next(drawn)
                self._warn_of_labels(batch.rows)
                taken = learner.take(batch, flags=(interrupt.asked, self._is_over(), self._is_due()))
                asked, over, due = taken.flags
                self._after(taken, bool(due), sinks)
                if asked or over:
                    why = "interrupted" if asked else "out of time"
                    break
            self._bring_over(sinks)
            if self.validate and why != "interrupted" and self.progress.validated != learner.step:
                self._validate(sinks)
            return self._finish(why, sinks)

    def _warn_of_labels(self, rows: TrainingRows) -> None:
        """Say once that auxiliary labels are drawn for nothing."""
        if rows.labels.shape[1] > rows.tokens.shape[1] and not self.learner.classes and not self._told_of_labels:
            self.watch.say(
                "the source has auxiliary labels, but the network has no head for them: they are not learned"
            )
            self._told_of_labels = True

    def _warn_of_bfloat16(self) -> None:
        """A recipe made on one processor may crawl on another."""
        if self.learner.recipe.dtype != "bfloat16" or not self.leads:
            return
        factor = bfloat16_factor(self.learner.network.device)
        if factor > SLOW:
            self.watch.say(
                f"this processor takes {factor:.0f} times as long in bfloat16: --set dtype=float32 is faster"
            )

    def _resume(self) -> None:
        if not any((self.out / CHECKPOINTS).glob("step-*")):
            # Stopped before the first: from the beginning.
            if self.leads:
                forget_lost_steps(self.out / METRICS_FILE, 0)
            return
        saved = load_checkpoint(self.out / CHECKPOINTS, self.learner)
        self.progress = Progress.of(saved)
        now, before = self.learner.engine.world, saved["processes"]
        if now != before:
            self.watch.say(
                f"the checkpoint is of {before} processes, here are {now}: same batches and schedule, but sums are "
                "taken in another order, so the weights equal those of an unchanged run up to rounding"
            )
        if self.leads:
            forget_lost_steps(self.out / METRICS_FILE, self.learner.step)

    def _is_over(self) -> bool:
        return self.leads and self._elapsed() >= self.settings.seconds

    def _is_due(self) -> bool:
        """Whether the clock, that of the first process, asks for a checkpoint."""
        return self.leads and time.monotonic() - self._saved > self.settings.every

    def _after(self, taken: Taken, save: bool, sinks: list[Sink]) -> None:
        """Everything between two steps."""
        learner, recipe = self.learner, self.learner.recipe
        self._taken.append((taken, self.progress.seconds + self._elapsed()))
        due = recipe.validate_every and learner.step % recipe.validate_every == 0
        validates = self.validate and (due or learner.step == recipe.total_steps)
        by_steps = self.settings.every_steps and learner.step % self.settings.every_steps == 0
        if validates or by_steps or save or not self._gathers or time.monotonic() - self._told >= BETWEEN:
            self._bring_over(sinks)
        if validates:
            self._validate(sinks)
        if by_steps or save:
            self._save(sinks)

    def _bring_over(self, sinks: list[Sink]) -> None:
        """Check and tell the numbers of the steps since the last time."""
        taken, self._taken, self._told = self._taken, [], time.monotonic()
        for row, (_, seconds) in zip(self.learner.rows_of([one for one, _ in taken]), taken, strict=True):
            self._check_loss(row["loss"], row["step"])
            self._tell(row | {"seconds": seconds}, sinks)

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

    def _finish(self, why: str, sinks: list[Sink]) -> TrainResult:
        learner, progress = self.learner, self.progress
        self._save(sinks)
        choice = f"step {learner.step} of {learner.recipe.total_steps}"
        if self.leads:
            write_weights(learner, self.out, "weights", choice)
        return TrainResult(
            steps=learner.step,
            seconds=progress.seconds + self._elapsed(),
            cpu_seconds=progress.cpu_seconds + time.process_time() - self._cpu,
            examples=learner.step * learner.recipe.batch_size,
            processes=learner.engine.world,
            stopped=why,
            peak_memory_bytes=machine.peak_memory(str(learner.network.device)),
            validation=progress.validation if progress.validated == learner.step else {},
            best={"exact": progress.best, "step": progress.best_step} if progress.best_step else {},
            rank=learner.engine.rank,
        )

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

"""Laws of trainers: the reference's steps, the same ones whatever interrupts them or however a batch is cut."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_harness.errors import PluginError
from trm_harness.files.names import METRICS_FILE, WEIGHTS_FILE
from trm_harness.testing.laws import LawBroken, NotApplicable, demand, law
from trm_harness.testing.subjects import TrainerSubject

if TYPE_CHECKING:
    from torch import Tensor

    from trm_harness.train.recipe import Recipe
    from trm_harness.train.trainer import TrainerJob, TrainResult

STEPS = 6
"""Optimizer steps of a law's run: two stages of three."""

ROUNDING = 2e-5
"""Weights may differ by so much where sums are taken in another order."""


class Stopped(Exception):
    """The kit's own interruption of a run."""


@law("trainer")
def spec_is_complete(subject: TrainerSubject) -> None:
    """The spec says what the trainer is, and its targets can be imported."""
    spec = subject.spec
    demand(bool(spec.title and spec.description), "title or description is empty", "describe the trainer in its spec")
    demand(callable(subject.train), "the target is no function", "let the target be the train function")


@law("trainer")
def leaves_weights_and_says_on_what(subject: TrainerSubject) -> None:
    """A run leaves weights, a line of metrics per step, the declaration in the file, and returns its steps."""
    run = _whole(subject)
    demand(run.result.steps == STEPS, f"it returns steps={run.result.steps}", f"return {STEPS} steps")
    demand(
        run.started == [0], f"it calls watch.started {len(run.started)} times", "call it once, before the first step"
    )
    demand(
        [row["step"] for row in run.rows] == list(range(1, STEPS + 1)),
        f"metrics.jsonl has the steps {[row['step'] for row in run.rows]}",
        "write one line for every optimizer step, counted from 1",
    )
    demand(
        "data" in json.loads(run.metadata.get("training", "{}")),
        "the weights do not say what they were trained on",
        "pass source.declaration to model.save(training=...)",
    )


@law("trainer")
def the_same_seed_the_same_weights(subject: TrainerSubject) -> None:
    """Two runs of one recipe end in the same weights to the last bit; another seed ends elsewhere."""
    first, again = _whole(subject), _run(subject, _recipe())
    demand(_gap(first, again) == 0, "two runs of one recipe end in different weights", "draw all from (seed, step)")
    other = _run(subject, _recipe(seed=1))
    demand(_gap(first, other) > 0, "another seed ends in the same weights", "use recipe.seed")


@law("trainer")
def resume_equals_uninterrupted(subject: TrainerSubject) -> None:
    """A run cut down between two checkpoints and resumed ends in the weights of an uninterrupted one, bit for bit."""
    whole = _whole(subject)
    for stop in (3, 4):
        resumed = _run(subject, _recipe(), stop_after=stop)
        demand(
            _gap(whole, resumed) == 0,
            f"cut down after step {stop} and resumed, the weights end elsewhere (by {_gap(whole, resumed):.3g})",
            "keep moments, averages, carries and counters in the checkpoint; draw batches from (seed, step)",
        )
        demand(
            not resumed.reported or resumed.reported[0] > 1,
            "a resumed run begins again from step 1",
            "go on from the newest checkpoint: a long run must not start over",
        )
        demand(
            [row["step"] for row in resumed.rows] == [row["step"] for row in whole.rows],
            f"the resumed run's metrics.jsonl has the steps {[row['step'] for row in resumed.rows]}",
            "drop the lines after the checkpoint when resuming: those steps are taken again",
        )


@law("trainer")
def step_equals_the_reference_step(subject: TrainerSubject) -> None:
    """Every step is the reference's (``train.learner``, held to the published code by parity tests), up to rounding."""
    from trm_harness.train.learner import Learner

    recipe = _recipe()
    learner = Learner(*subject.parts(recipe), recipe)
    for _ in range(STEPS):
        learner.advance()
    wanted = dict(learner.network.state_dict())
    run = _whole(subject)
    gap = max(float((run.raw[name] - value.float()).abs().max()) for name, value in wanted.items())
    demand(
        gap <= ROUNDING,
        f"after {STEPS} steps a weight differs from the reference's by {gap:.3g}",
        "sum the loss over rows and divide by the global batch; step the table and the average after the network",
    )


@law("trainer")
def accumulation_equals_one_batch(subject: TrainerSubject) -> None:
    """A batch cut into micro-batches ends in the same weights, up to rounding."""
    run = _run(subject, _recipe(accumulate=4))
    gap = _gap(_whole(subject), run)
    demand(
        gap <= ROUNDING,
        f"four micro-batches end in weights that differ by {gap:.3g} from one batch's",
        "divide each micro-batch's loss by the global batch and step once for all of them",
    )


@law("trainer")
def the_loss_falls(subject: TrainerSubject) -> None:
    """Forty steps at a fair rate lower the loss."""
    from trm_harness.train.recipe import Stage

    stages = (Stage(steps=40, lr=3e-3, lr_end=3e-3, warmup=2, supervision_steps=2),)
    rows = _run(subject, _recipe(stages=stages)).rows
    first, last = (sum(row["loss"] for row in part) / 8 for part in (rows[:8], rows[-8:]))
    demand(
        last < first, f"the loss goes from {first:.3f} to {last:.3f}", "check signs, rates and that gradients arrive"
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """What a run left behind: average and raw weights, metrics rows, the weights' metadata and what it returned.

    ``reported`` are the steps that its last session told of, ``started`` the ranks that it said had begun.
    """

    average: dict[str, Tensor]
    raw: dict[str, Tensor]
    rows: list[dict[str, Any]]
    metadata: dict[str, str]
    result: TrainResult
    reported: list[int]
    started: list[int]


def _recipe(**changes: Any) -> Recipe:
    from trm_harness.train.recipe import Recipe, Stage

    stages = (
        Stage(steps=3, lr=1e-3, lr_end=1e-3, warmup=2, h_cycles=1, l_cycles=1, supervision_steps=2),
        Stage(steps=3, lr=1e-3, lr_end=1e-4, supervision_steps=3),
    )
    plain = Recipe(stages=stages, batch_size=8, ema_rate=0.9, dtype="float32", halt_exploration=0.3)
    return dataclasses.replace(plain, **changes)


def _whole(subject: TrainerSubject) -> Run:
    """The uninterrupted run of the plain recipe, made once for all laws."""
    if "whole" not in subject.kept:
        subject.kept["whole"] = _run(subject, _recipe())
    return subject.kept["whole"]


def _run(subject: TrainerSubject, recipe: Recipe, stop_after: int = 0) -> Run:
    """Train, cut down after a step and resumed if asked, and gather what lies there."""
    import torch

    from trm_harness.train.trainer import Settings, TrainerJob, Watch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the same sums in the same order
    settings = Settings(every=1e9, every_steps=2)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        try:
            if stop_after:
                _cut_down(subject, recipe, out, settings, stop_after)
            seen: list[int] = []
            started: list[int] = []
            watch = Watch(report=lambda row: seen.append(row.get("step", 0)), started=started.append)
            model, source = subject.parts(recipe)
            job = TrainerJob(model, source, recipe, out, bool(stop_after), settings=settings, watch=watch)
            result = _called(subject, job)
        finally:
            torch.set_num_threads(threads)
        return _gathered(out, result, seen, started)


def _called(subject: TrainerSubject, job: TrainerJob) -> TrainResult:
    """The trainer's result; a law is broken if it does not keep the contract's form."""
    from trm_harness.train.trainer import call

    try:
        return call(subject.train, job, subject.id)
    except PluginError as error:
        raise LawBroken(f"{error}. Change: keep trm_harness.train.trainer.Trainer") from None


def _cut_down(subject: TrainerSubject, recipe: Recipe, out: Path, settings: Any, stop_after: int) -> None:
    from trm_harness.train.trainer import TrainerJob, Watch

    model, source = subject.parts(recipe)
    job = TrainerJob(model, source, recipe, out, settings=settings, watch=Watch(report=_stopper(stop_after)))
    try:
        _called(subject, job)
    except Stopped:
        return
    raise NotApplicable("report() is not called after each step in this process, so that it cannot be cut down here")


def _stopper(step: int) -> Callable[[dict[str, Any]], None]:
    def report(row: dict[str, Any]) -> None:
        if row.get("step", 0) >= step:
            raise Stopped

    return report


def _gathered(out: Path, result: TrainResult, reported: list[int], started: list[int]) -> Run:
    from safetensors import safe_open
    from safetensors.torch import load_file

    names = (WEIGHTS_FILE, "weights-raw.safetensors", METRICS_FILE)
    missing = [name for name in names if not (out / name).is_file()]
    demand(not missing, f"the run leaves no {', '.join(missing)}", "write them at the end, as train.loop.fit does")
    with safe_open(out / names[0], framework="pt") as file:
        metadata = dict(file.metadata() or {})
    rows = [json.loads(line) for line in (out / names[2]).read_text().splitlines()]
    rows = [row for row in rows if "loss" in row]
    return Run(load_file(out / names[0]), load_file(out / names[1]), rows, metadata, result, reported, started)


def _gap(first: Run, second: Run) -> float:
    """The largest difference of any weight, average or raw."""
    pairs = ((first.average, second.average), (first.raw, second.raw))
    return max(float((a[name] - b[name]).abs().max()) for a, b in pairs for name in a)

"""Laws of models: an answer belongs to its puzzle, whoever else is in the batch, on every run and in every format."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_harness.contracts import Model, Perturbable
from trm_harness.errors import HarnessError
from trm_harness.files.names import WEIGHTS_FILE
from trm_harness.fingerprint import file_sha256
from trm_harness.testing.laws import NotApplicable, demand, law
from trm_harness.testing.subjects import ModelSubject
from trm_harness.types import Batch, Grid, Prediction, plain

FAMILIES = ("recursive", "direct", "solver", "llm", "trivial")
PUZZLES = 5
STEPS = 2
"""Supervision steps that laws take: one that starts, one that goes on."""

CLOSE = 1e-3
"""Halting logits of one puzzle in different batches may differ by so much (sums are taken in another order)."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What every row was answered, step by step: tokens or grids, and halting logits ``[steps, rows]``."""

    steps: tuple[tuple[Any, ...], ...]
    halts: NDArray[np.float32]

    def rows(self, rows: Sequence[int]) -> Answers:
        """Those rows only."""
        kept = tuple(tuple(step[row] for row in rows) for step in self.steps)
        return Answers(kept, self.halts[:, list(rows)])

    def same(self, other: Answers) -> bool:
        """Equal answers, and halting logits as near as arithmetic allows."""
        pairs = zip(self.steps, other.steps, strict=True)
        answers = all(_same(a, b) for mine, theirs in pairs for a, b in zip(mine, theirs, strict=True))
        return answers and np.allclose(self.halts, other.halts, atol=CLOSE, equal_nan=True)

    def identical(self, other: Answers) -> bool:
        """Equal to the last bit."""
        return self.same(other) and np.array_equal(self.halts, other.halts, equal_nan=True)


@law("model")
def spec_is_complete(subject: ModelSubject) -> None:
    """The spec says what the model is, of which known family, and its targets can be imported."""
    spec = subject.spec
    demand(bool(spec.title and spec.description), "title or description is empty", "describe the model in its spec")
    demand(spec.family in FAMILIES, f"family {spec.family!r} is unknown", f"use one of {', '.join(FAMILIES)}")
    demand(bool(spec.tasks), "it answers no task", 'give patterns of task ids, ("*",) for all')
    subject.registry.models.resolve(subject.id)
    if spec.trainable:
        subject.registry.models.resolve(subject.id, "trainable")


@law("model")
def made_or_refused_in_one_line(subject: ModelSubject) -> None:
    """Without weights the model is made, or says in one line what it lacks."""
    try:
        model = subject.make()
    except HarnessError as error:
        demand(bool(str(error)), "the error says nothing", "say what is missing and how to give it")
        raise NotApplicable(f"it needs more than the kit has: {error}") from None
    demand(model.spec == subject.tried, "model.spec is not the spec that it was made from", "keep request.spec")
    demand(isinstance(plain(model.steps), int) and model.steps >= 1, f"steps is {model.steps!r}", "give 1 or more")


@law("model")
def answers_have_the_shape_of_the_batch(subject: ModelSubject) -> None:
    """Every step answers every row: int32 tokens of the batch's shape or grids, and float32 halting logits."""
    batch = _batch(subject)
    state = subject.model.begin(batch)
    for _ in range(STEPS):
        state, out = subject.model.step(state)
        demand(
            isinstance(out, Prediction) and out.halt.shape == (batch.size,) and out.halt.dtype == np.float32,
            "halt is not float32 [size]",
            "return one halting logit a row, as np.float32",
        )
        if out.answers is None:
            demand(
                out.tokens.shape == batch.tokens.shape and out.tokens.dtype == np.int32,
                f"tokens are {out.tokens.dtype} {out.tokens.shape}, not int32 {batch.tokens.shape}",
                "answer every cell of every row with a token",
            )
        else:
            demand(len(out.answers) == batch.size, "there are not as many answers as rows", "answer every row")


@law("model")
def batch_size_changes_nothing(subject: ModelSubject) -> None:
    """A puzzle alone is answered as it is among others."""
    batch, together = _batch(subject), _answers(subject.model, _batch(subject))
    for row in range(batch.size):
        alone = _answers(subject.model, batch.select([row]))
        demand(
            alone.same(together.rows([row])),
            f"puzzle {batch.puzzles[row].id} is answered differently alone and among {batch.size}",
            "let no statistic of the batch (normalisation, noise, padding) reach a row; draw noise from batch.seeds",
        )


@law("model")
def order_changes_nothing(subject: ModelSubject) -> None:
    """The same puzzles in another order get the same answers."""
    batch = _batch(subject)
    order = list(reversed(range(batch.size)))
    demand(
        _answers(subject.model, batch.select(order)).same(_answers(subject.model, batch).rows(order)),
        "answers change with the order of the batch",
        "treat rows alike wherever they stand",
    )


@law("model")
def padding_changes_nothing(subject: ModelSubject) -> None:
    """Rows that fill a batch up (copies of one puzzle) change no other row's answer."""
    batch = _batch(subject)
    filled = batch.select([*range(batch.size), *[0] * 3])
    demand(
        _answers(subject.model, filled).rows(range(batch.size)).same(_answers(subject.model, batch)),
        "answers change when the batch is filled up",
        "keep rows apart: no row may see another",
    )


@law("model")
def halted_puzzles_change_nothing(subject: ModelSubject) -> None:
    """Puzzles that leave the batch early change no answer of those that stay, and theirs stand as they were."""
    batch = _batch(subject)
    whole = _answers(subject.model, batch, STEPS + 1)
    stay = [row for row in range(batch.size) if row % 2 == 0]
    state, first = subject.model.step(subject.model.begin(batch))
    before = _copy(first)
    state = subject.model.select(state, stay)
    outs = []
    for _ in range(STEPS):
        state, out = subject.model.step(state)
        outs.append(_copy(out))
    after = Answers(tuple(row for row, _ in outs), np.stack([halt for _, halt in outs]))
    wanted = Answers(whole.steps[1:], whole.halts[1:]).rows(stay)
    demand(
        after.same(wanted),
        "answers of the puzzles that stay change when others leave the batch",
        "let select() keep all of a row's state, in the order asked for",
    )
    finished = Answers((before[0],), before[1][None])
    demand(
        finished.same(Answers(whole.steps[:1], whole.halts[:1])),
        "the answer of a puzzle that left the batch changed",
        "return fresh arrays from step()",
    )


@law("model")
def the_same_every_time(subject: ModelSubject) -> None:
    """Asked again, or made again from the same seed, the model answers to the last bit as before; inputs stay."""
    batch = _batch(subject)
    kept = [array.copy() for array in (batch.tokens, batch.positions, batch.seeds)]
    first = _answers(subject.model, batch)
    np.random.seed(1)
    for what, model in (("asked again", subject.model), ("made again", subject.make())):
        demand(
            _answers(model, batch).identical(first),
            f"{what} it answers differently",
            "draw nothing from global random states: seed weights by request.seed and noise by batch.seeds",
        )
    now = (batch.tokens, batch.positions, batch.seeds)
    unchanged = all(np.array_equal(a, b) for a, b in zip(kept, now, strict=True))
    demand(unchanged, "it writes into its batch", "copy before writing")


@law("model")
def saved_weights_answer_alike(subject: ModelSubject) -> None:
    """Saved and loaded, the model answers to the last bit as before, and its facts name the file's hash."""
    if not subject.spec.trainable:
        raise NotApplicable("it is not trainable: there are no weights to save")
    batch = _batch(subject)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / WEIGHTS_FILE
        subject.make(which="trainable").save(path, card="")
        loaded = subject.make(weights=path)
        demand(
            _answers(loaded, batch).identical(_answers(subject.model, batch)),
            "the loaded model answers differently",
            "save every tensor the answer depends on (buffers too) and load it as it was",
        )
        demand(
            loaded.facts().weights_sha256 == file_sha256(path),
            "facts().weights_sha256 is not that of the file",
            "give request.weights_sha256",
        )


@law("model")
def bfloat16_has_no_nan(subject: ModelSubject) -> None:
    """In bfloat16 every halting logit is a number and every token one of the task's."""
    batch = _batch(subject)
    model = subject.make(dtype="bfloat16")
    state = model.begin(batch)
    for step in range(STEPS):
        if isinstance(model, Perturbable):
            state = model.perturb(state, 1.0, batch.seeds, step + 1)
        state, out = model.step(state)
        finite = bool(np.isfinite(out.halt.astype(np.float64)).all())
        demand(finite, "a halting logit is not a number", "compute norms and the halting head in float32")
        if out.tokens is not None:
            good = int(out.tokens.min()) >= 0 and int(out.tokens.max()) < subject.on.spec.vocab_size
            demand(good, "a token is none of the task's", "take the arg max over vocab_size logits")


@law("model")
def noise_belongs_to_its_row(subject: ModelSubject) -> None:
    """Noise depends on a row's seed and the step alone, and changes something."""
    model = subject.model
    if not isinstance(model, Perturbable):
        raise NotApplicable("its state takes no noise (perturb)")
    batch = _batch(subject)

    def noisy(asked: Batch, step: int) -> Answers:
        state = model.perturb(model.begin(asked), 3.0, asked.seeds, step)
        answers, halts = _copy(model.step(state)[1])
        return Answers((answers,), halts[None])

    whole = noisy(batch, 1)
    alone = noisy(batch.select([batch.size - 1]), 1)
    demand(
        alone.same(whole.rows([batch.size - 1])),
        "a row's noise depends on its neighbours",
        "draw it with trm_harness.nn.noise.gaussian from the row's own seed",
    )
    demand(not np.array_equal(noisy(batch, 2).halts, whole.halts) or not noisy(batch, 2).same(whole),
           "another step has the same noise", "let the step take part in the draw")  # fmt: skip


@law("model")
def parameters_are_counted_truly(subject: ModelSubject) -> None:
    """facts() counts what the network and its puzzle table hold; a model without a network counts nothing."""
    # At its full size: that is what a record states.
    model = subject.make(spec=subject.spec)
    facts, network = model.facts(), getattr(model, "network", None)
    if network is None:
        if subject.spec.needs_weights:
            raise NotApplicable("its network is not open to counting (model.network)")
        demand(facts.parameters.network == 0, "parameters are counted, but there is no network", "count none")
        return
    table = getattr(network, "table", None)
    own = {id(p) for p in table.parameters()} if table is not None else set()
    count = sum(p.numel() for p in network.parameters() if id(p) not in own)
    demand(
        facts.parameters.network == count,
        f"facts() counts {facts.parameters.network} network parameters, there are {count}",
        "sum p.numel() over network.parameters(), the puzzle table apart",
    )
    held = 0 if table is None else int(table.weight.numel())
    demand(
        facts.parameters.puzzle_table == held,
        f"facts() counts {facts.parameters.puzzle_table} table values, there are {held}",
        "count the whole table: it is part of what was trained",
    )


@law("model")
def cost_is_stated(subject: ModelSubject) -> None:
    """cost() is finite, never negative, and grows with the puzzle's length."""
    short, long = subject.model.cost(16), subject.model.cost(64)
    values = (short.flops_per_step, short.bytes_per_example, long.flops_per_step, long.bytes_per_example)
    demand(all(np.isfinite(v) and v >= 0 for v in values), f"cost() gives {values}", "state numbers from 0 up")
    grows = long.flops_per_step >= short.flops_per_step and long.bytes_per_example >= short.bytes_per_example
    demand(grows, "a longer puzzle costs less", "count work and memory per example of that length")
    if subject.spec.needs_weights:
        demand(short.flops_per_step > 0, "a network costs no FLOPs", "count multiply-adds x 2 of one step")


def _batch(subject: ModelSubject) -> Batch:
    """A few puzzles without their answers, as the evaluator hands them over."""
    model = subject.model
    puzzles = [puzzle.without_answer() for puzzle in subject.on.some(PUZZLES)]
    encoded = [subject.on.task.encode(puzzle, "", model.encoding) for puzzle in puzzles]
    length = encoded[0].length
    kept = [(p, e) for p, e in zip(puzzles, encoded, strict=True) if e.length == length]
    plain = np.arange(length, dtype=np.int32)
    return Batch(
        tuple(puzzle for puzzle, _ in kept),
        np.stack([e.tokens for _, e in kept]).astype(np.int32),
        np.stack([plain if e.positions is None else e.positions for _, e in kept]).astype(np.int32),
        tuple(e.identity for _, e in kept),
        np.arange(11, 11 + len(kept), dtype=np.uint64),
    )


def _answers(model: Model, batch: Batch, steps: int = STEPS) -> Answers:
    state, rows, halts = model.begin(batch), [], []
    for _ in range(steps):
        state, out = model.step(state)
        answers, logits = _copy(out)
        rows.append(answers)
        halts.append(logits)
    return Answers(tuple(rows), np.stack(halts))


def _copy(out: Prediction) -> tuple[tuple[Any, ...], NDArray[np.float32]]:
    rows = out.answers if out.answers is not None else tuple(out.tokens.copy())
    return tuple(rows), np.array(out.halt, dtype=np.float32)


def _same(first: Grid | None, second: Grid | None) -> bool:
    return first is second or (first is not None and second is not None and np.array_equal(first, second))

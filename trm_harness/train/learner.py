"""The learner: one optimizer step per supervision step, with a carry for every bucket of equal lengths."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trm_harness.contracts import Trainable, TrainingRows, TrainingSource
from trm_harness.errors import BadInput
from trm_harness.nn.losses import SupervisionLoss, supervision_loss
from trm_harness.nn.optim import ExponentialMovingAverage, sparse_sign_step
from trm_harness.nn.supervision import (
    Carry,
    Rows,
    canvas_of,
    empty_carry,
    exploration,
    held_deep,
    join_carries,
    supervise,
)
from trm_harness.nn.transfer import on_device
from trm_harness.train.data import Drawn, Draws
from trm_harness.train.engine import Engine, TorchEngine
from trm_harness.train.recipe import Recipe, Stage
from trm_harness.types import IGNORE_LABEL

_LOSSES = ("loss", "lm_loss", "q_halt_loss")
_MEANS = ("accuracy", "exact_accuracy", "steps")
"""Of the rows that halted."""


@dataclass(frozen=True, eq=False)
class Taken:
    """A step that was taken, its numbers still on the device: :meth:`Learner.rows_of` brings many over at once.

    ``sums`` float64, those of :attr:`Learner.sums` over all processes; ``own`` are the engine's numbers; ``flags`` are
    summed over the processes.
    """

    step: int
    bucket: str
    sums: Tensor
    own: dict[str, float]
    flags: list[float]


def stage_rate(stage: Stage, place: int) -> float:
    """Learning rate at step ``place`` (from 1) of ``stage``: linear warm-up, then a cosine to ``lr_end``."""
    if place < stage.warmup:
        return stage.lr * place / stage.warmup
    progress = (place - stage.warmup) / max(1, stage.steps - stage.warmup)
    return stage.lr_end + (stage.lr - stage.lr_end) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class Learner:
    """Network, optimizers, EMA and carries. Everything random comes from (seed, step), so a step can be repeated.

    With several processes each holds the carry of its own rows; the global batch, and so the sum of gradients, stays
    what it is with one. The same goes for micro-batches (``recipe.accumulate``).
    """

    def __init__(self, model: Trainable, source: TrainingSource, recipe: Recipe, engine: Engine | None = None) -> None:
        self.model, self.source, self.recipe = model, source, recipe
        self.network = model.network
        self.own_cycles = self.network.cycles
        self.classes = getattr(self.network, "auxiliary_classes", 0)
        self.losses = (*_LOSSES, "auxiliary_loss") if self.classes else _LOSSES
        self.sums = ("count", *_MEANS, *self.losses)
        self.engine = engine or TorchEngine(self.network, recipe)
        self.ema = ExponentialMovingAverage(self.network, recipe.ema_rate)
        self.carries: dict[str, Carry] = {}
        self.draws = Draws(source, recipe)
        self.step = 0
        self._touched: list[tuple[Tensor, Tensor]] = []
        check_split(recipe, self.engine.world)

    @property
    def own_rows(self) -> slice:
        """This process's rows of a global batch."""
        size = self.recipe.batch_size // self.engine.world
        return slice(self.engine.rank * size, (self.engine.rank + 1) * size)

    def advance(self, drawn: Drawn | None = None, flags: Sequence[float] = ()) -> dict[str, Any]:
        """One optimizer step; returns its metrics (means over the rows that halted, ``nan`` if none did).

        ``drawn`` and ``flags`` are as for :meth:`take`; the summed ``flags`` are among the metrics.
        """
        taken = self.take(drawn, flags)
        return self.rows_of([taken])[0] | {"flags": taken.flags}

    def take(self, drawn: Drawn | None = None, flags: Sequence[float] = ()) -> Taken:
        """One optimizer step, for whose end nobody waits: a device goes on while the host prepares the next.

        ``drawn`` is the step's batch, if somebody made it already. ``flags`` come back summed over the processes: so
        they agree on when to stop; several processes have to wait for each other.
        """
        self.step += 1
        drawn = drawn or self.draws[self.step]
        stage, place = self.recipe.stage_at(self.step)
        self._use_cycles(stage)
        sums = self._forward_backward(drawn, stage)
        self._update(stage_rate(stage, place))
        told = [float(flag) for flag in flags]
        if self.engine.world > 1:
            sums = self.engine.sum(torch.cat((sums, sums.new_tensor(told))))
            sums, told = sums[: len(self.sums)], sums[len(self.sums) :].tolist()
        return Taken(self.step, drawn.bucket, sums, dict(self.engine.metrics()), told)

    def gradients(self, drawn: Drawn) -> dict[str, float]:
        """Sums of a step's losses; its gradients, and no older ones, are left on the parameters. Nothing is stepped."""
        stage, _ = self.recipe.stage_at(max(1, self.step))
        self._use_cycles(stage)
        self._touched.clear()
        self.network.zero_grad(set_to_none=True)
        return dict(zip(self.sums, self._forward_backward(drawn, stage).tolist(), strict=True))

    def _forward_backward(self, drawn: Drawn, stage: Stage) -> Tensor:
        """Gradients of the whole step; sums over this process's rows, those of :attr:`sums`, left on the device."""
        recipe, bucket = self.recipe, drawn.bucket
        fresh = self.rows(drawn.rows).rows_at(self.own_rows)
        known = self.carries.get(bucket)
        # A resumed recipe may have switched auxiliary labels on or off: such rows cannot stand in one carry.
        if known is None or known.rows.labels.shape[1] != fresh.labels.shape[1]:
            self.carries[bucket] = empty_carry(self.network, fresh)
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + self.step)
        steps = stage.supervision_steps
        minimum = exploration(recipe.batch_size, recipe.halt_exploration, steps, generator)
        minimum = held_deep(minimum, recipe.deep_share, steps, generator)
        # Not by `to`: a copy from memory that is not pinned waits for all that a GPU still has to do.
        minimum = on_device(minimum[self.own_rows].numpy(), fresh.ids.device)
        sums, carries = torch.zeros(len(self.sums), dtype=torch.float64, device=fresh.ids.device), []
        for micro, last in self._micro_batches(len(fresh.ids)):
            carry, loss = self._supervise(
                self.carries[bucket].rows_at(micro), fresh.rows_at(micro), minimum[micro], steps
            )
            self.engine.backward(loss.total, micro.stop - micro.start, last)
            carries.append(carry)
            found = loss.metrics | {"loss": loss.total.detach()}
            sums += torch.stack([found[name].double() for name in self.sums])
        self.carries[bucket] = join_carries(carries)
        return sums

    def _supervise(self, carry: Carry, fresh: Rows, minimum: Tensor, steps: int) -> tuple[Carry, SupervisionLoss]:
        lookup = None if self.network.table is None else self._lookup
        carry, output, target = supervise(self.network, carry, fresh, lookup, steps, True, minimum)
        recipe = self.recipe
        loss = supervision_loss(
            output.logits,
            output.halt_logits,
            carry.rows.labels,
            carry.halted,
            carry.steps,
            target,
            recipe.loss,
            auxiliary=output.auxiliary,
            auxiliary_weight=recipe.auxiliary_weight,
            row_weights=1.0 + recipe.stay_right * carry.right if recipe.stay_right else None,
        )
        carry.right = loss.correct
        return carry, loss

    def _micro_batches(self, rows: int) -> Iterator[tuple[slice, bool]]:
        size = rows // self.recipe.accumulate
        for start in range(0, rows, size):
            yield slice(start, start + size), start + size == rows

    def _lookup(self, ids: Tensor) -> Tensor:
        looked_up = self.network.table(ids).detach().requires_grad_()
        self._touched.append((ids, looked_up))
        return looked_up

    def _update(self, lr: float) -> None:
        self._step_table(lr)
        self.engine.step(lr)
        self.ema.update(self.network)

    def _step_table(self, lr: float) -> None:
        """Sign-SGD on the touched rows, with everybody's ids and gradients, so that all processes step alike."""
        recipe, touched = self.recipe, [(ids, rows.grad) for ids, rows in self._touched if rows.grad is not None]
        self._touched.clear()
        if not touched:
            return
        # The table's rate follows the network's schedule, as in the reference.
        rate = recipe.table_lr * lr / max(stage.lr for stage in recipe.stages)
        ids = self.engine.gather(torch.cat([ids.flatten() for ids, _ in touched]))
        grads = self.engine.gather(torch.cat([grad.flatten(0, 1) for _, grad in touched]))
        sparse_sign_step(self.network.table.weight, ids, grads, rate, recipe.table_weight_decay)

    def _use_cycles(self, stage: Stage) -> None:
        h, l = self.own_cycles  # noqa: E741
        self.network.cycles = (stage.h_cycles or h, stage.l_cycles or l)

    def rows(self, drawn: TrainingRows) -> Rows:
        """Drawn examples as tensors on the network's device. ``BadInput`` for auxiliary labels that its head lacks."""
        check_auxiliary(drawn, self.classes)
        device = self.network.device
        ids = self.model.identity_rows(drawn.identities)
        arrays = (drawn.tokens, drawn.labels, drawn.positions, ids)
        return Rows(*(on_device(array, device) for array in arrays), canvas_of(drawn.positions))

    def rows_of(self, taken: Sequence[Taken]) -> list[dict[str, Any]]:
        """The metrics of steps, brought over from the device in one go."""
        if not taken:
            return []
        values = torch.stack([one.sums for one in taken]).tolist()
        return [
            self._metrics(one, dict(zip(self.sums, own, strict=True))) for one, own in zip(taken, values, strict=True)
        ]

    def _metrics(self, taken: Taken, total: dict[str, float]) -> dict[str, Any]:
        count, size = total["count"], self.recipe.batch_size
        means = {n: (total[n] / count if count else math.nan) for n in _MEANS}
        return {
            "step": taken.step,
            "bucket": taken.bucket,
            **{name: total[name] / size for name in self.losses},
            "halted": int(count),
            **means,
            **taken.own,
        }


def check_auxiliary(drawn: TrainingRows, classes: int) -> None:
    """``BadInput`` for auxiliary labels that are not one a cell, or that a head of ``classes`` (0: no head) lacks."""
    length = drawn.tokens.shape[1]
    further = drawn.labels[:, length:]
    unknown = (further != IGNORE_LABEL) & ((further < 0) | (further >= classes))
    if further.shape[1] not in (0, length) or (classes and unknown.any()):
        raise BadInput(
            f"the source's auxiliary labels ({further.shape[1]} for {length} cells, up to {further.max()}) do not fit "
            f"the network's head of {classes} classes: train with a model.auxiliary that fits them"
        )


def check_split(recipe: Recipe, world: int) -> None:
    """``BadInput`` unless the global batch divides evenly: unequal shares would change what a mean is."""
    parts = world * recipe.accumulate
    if recipe.batch_size % parts:
        how = f"{world} processes x {recipe.accumulate} micro-batches"
        raise BadInput(f"recipe: batch_size {recipe.batch_size} does not divide by {how}: change one of them")

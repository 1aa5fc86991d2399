"""The learner: one optimizer step per supervision step, with a carry for every bucket of equal lengths."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from trm_harness.contracts import Trainable, TrainingRows, TrainingSource
from trm_harness.errors import BadInput
from trm_harness.nn.losses import SupervisionLoss, supervision_loss
from trm_harness.nn.optim import ExponentialMovingAverage, sparse_sign_step
from trm_harness.nn.supervision import Carry, Rows, empty_carry, exploration, join_carries, supervise
from trm_harness.nn.transfer import on_device
from trm_harness.train.data import Drawn, Draws
from trm_harness.train.engine import Engine, TorchEngine
from trm_harness.train.recipe import Recipe, Stage

_SUMS = ("count", "accuracy", "exact_accuracy", "steps", "lm_loss", "q_halt_loss")


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

        ``drawn`` is the step's batch, if somebody made it already. ``flags`` come back summed over the processes: so
        they agree on when to stop.
        """
        self.step += 1
        drawn = drawn or self.draws[self.step]
        stage, place = self.recipe.stage_at(self.step)
        self._use_cycles(stage)
        sums = self._forward_backward(drawn, stage)
        self._update(stage_rate(stage, place))
        return self._report(sums, drawn.bucket, flags)

    def gradients(self, drawn: Drawn) -> dict[str, float]:
        """Sums of a step's losses; its gradients, and no older ones, are left on the parameters. Nothing is stepped."""
        stage, _ = self.recipe.stage_at(max(1, self.step))
        self._use_cycles(stage)
        self._touched.clear()
        self.network.zero_grad(set_to_none=True)
        return self._forward_backward(drawn, stage)

    def _forward_backward(self, drawn: Drawn, stage: Stage) -> dict[str, float]:
        """Gradients of the whole step; sums over this process's rows."""
        recipe, bucket = self.recipe, drawn.bucket
        fresh = self.rows(drawn.rows).rows_at(self.own_rows)
        if bucket not in self.carries:
            self.carries[bucket] = empty_carry(self.network, fresh)
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + self.step)
        steps = stage.supervision_steps
        minimum = exploration(recipe.batch_size, recipe.halt_exploration, steps, generator)
        minimum = minimum[self.own_rows].to(fresh.ids.device)
        sums, carries = Counter(), []
        for micro, last in self._micro_batches(len(fresh.ids)):
            carry, loss = self._supervise(
                self.carries[bucket].rows_at(micro), fresh.rows_at(micro), minimum[micro], steps
            )
            self.engine.backward(loss.total, micro.stop - micro.start, last)
            carries.append(carry)
            sums.update({name: float(loss.metrics[name]) for name in _SUMS} | {"loss": float(loss.total.detach())})
        self.carries[bucket] = join_carries(carries)
        return dict(sums)

    def _supervise(self, carry: Carry, fresh: Rows, minimum: Tensor, steps: int) -> tuple[Carry, SupervisionLoss]:
        lookup = None if self.network.table is None else self._lookup
        carry, output, target = supervise(self.network, carry, fresh, lookup, steps, True, minimum)
        loss = supervision_loss(
            output.logits, output.halt_logits, carry.rows.labels, carry.halted, carry.steps, target, self.recipe.loss
        )
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
        """Drawn examples as tensors on the network's device."""
        device = self.network.device
        ids = self.model.identity_rows(drawn.identities)
        arrays = (drawn.tokens, drawn.labels, drawn.positions, ids)
        return Rows(*(on_device(array, device) for array in arrays))

    def _report(self, sums: dict[str, float], bucket: str, flags: Sequence[float]) -> dict[str, Any]:
        names = (*_SUMS, "loss")
        own = [*(sums[name] for name in names), *flags]
        values = self.engine.sum(torch.tensor(own, dtype=torch.float64, device=self.network.device)).tolist()
        total = dict(zip(names, values, strict=False))
        count, size = total["count"], self.recipe.batch_size
        means = {n: (total[n] / count if count else math.nan) for n in ("accuracy", "exact_accuracy", "steps")}
        return {
            "step": self.step,
            "bucket": bucket,
            "loss": total["loss"] / size,
            "lm_loss": total["lm_loss"] / size,
            "q_halt_loss": total["q_halt_loss"] / size,
            "halted": int(count),
            **means,
            "flags": values[len(names) :],
        }


def check_split(recipe: Recipe, world: int) -> None:
    """``BadInput`` unless the global batch divides evenly: unequal shares would change what a mean is."""
    parts = world * recipe.accumulate
    if recipe.batch_size % parts:
        how = f"{world} processes x {recipe.accumulate} micro-batches"
        raise BadInput(f"recipe: batch_size {recipe.batch_size} does not divide by {how}: change one of them")

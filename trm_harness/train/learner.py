"""The learner: one optimizer step per supervision step, with a carry for every bucket of equal lengths."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trm_harness.contracts import Trainable, TrainingRows, TrainingSource
from trm_harness.nn.losses import supervision_loss
from trm_harness.nn.optim import AdamATan2, ExponentialMovingAverage, sparse_sign_step
from trm_harness.nn.supervision import Carry, Rows, empty_carry, exploration, supervise
from trm_harness.train.recipe import Recipe, Stage


def stage_rate(stage: Stage, place: int) -> float:
    """Learning rate at step ``place`` (from 1) of ``stage``: linear warm-up, then a cosine to ``lr_end``."""
    if place < stage.warmup:
        return stage.lr * place / stage.warmup
    progress = (place - stage.warmup) / max(1, stage.steps - stage.warmup)
    return stage.lr_end + (stage.lr - stage.lr_end) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def make_optimizers(network: torch.nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """The recipe's optimizers for the network's parameters; rates are set at every step.

    Muon (kellerjordan.github.io/posts/muon) orthogonalises the update of a matrix; its step is scaled to the size of an
    Adam step, so that one learning rate serves both.
    """
    named = list(network.named_parameters())
    matrices = [p for name, p in named if recipe.optimizer == "muon" and ".blocks." in name and p.ndim == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for _, p in named if id(p) not in chosen]
    optimizers: list[torch.optim.Optimizer] = [AdamATan2(rest, 0.0, (recipe.beta1, recipe.beta2), recipe.weight_decay)]
    if matrices:
        decay = recipe.weight_decay
        optimizers.append(torch.optim.Muon(matrices, lr=0.0, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
    return optimizers


class Learner:
    """Network, optimizers, EMA and carries. Everything random comes from (seed, step), so a step can be repeated."""

    def __init__(self, model: Trainable, source: TrainingSource, recipe: Recipe) -> None:
        self.model, self.source, self.recipe = model, source, recipe
        self.network = model.network
        self.own_cycles = self.network.cycles
        self.optimizers = make_optimizers(self.network, recipe)
        self.ema = ExponentialMovingAverage(self.network, recipe.ema_rate)
        self.carries: dict[str, Carry] = {}
        self.step = 0
        self._looked_up: Tensor | None = None

    def advance(self) -> dict[str, float]:
        """One optimizer step; returns its metrics (means over the rows that halted, ``nan`` if none did)."""
        self.step += 1
        stage, place = self.recipe.stage_at(self.step)
        random = np.random.Generator(np.random.Philox(key=[self.recipe.seed, self.step]))
        bucket = str(random.choice(list(self.source.buckets), p=list(self.source.buckets.values())))
        self._use_cycles(stage)
        loss = self._forward_backward(bucket, stage)
        self._update(bucket, stage_rate(stage, place))
        return self._report(loss, bucket)

    def _forward_backward(self, bucket: str, stage: Stage) -> Any:
        size = self.recipe.batch_size
        fresh = self.rows(self.source.draw(bucket, self.step, size))
        if bucket not in self.carries:
            self.carries[bucket] = empty_carry(self.network, fresh)
        generator = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + self.step)
        minimum = exploration(size, self.recipe.halt_exploration, stage.supervision_steps, generator)
        lookup = None if self.network.table is None else self._lookup
        carry, output, target = supervise(
            self.network,
            self.carries[bucket],
            fresh,
            lookup,
            stage.supervision_steps,
            True,
            minimum.to(fresh.ids.device),
        )
        loss = supervision_loss(
            output.logits, output.halt_logits, carry.rows.labels, carry.halted, carry.steps, target, self.recipe.loss
        )
        (loss.total / size).backward()
        self.carries[bucket] = carry
        return loss

    def _lookup(self, ids: Tensor) -> Tensor:
        self._looked_up = self.network.table(ids).detach().requires_grad_()
        return self._looked_up

    def _update(self, bucket: str, lr: float) -> None:
        recipe = self.recipe
        if self._looked_up is not None and self._looked_up.grad is not None:
            # The table's rate follows the network's schedule, as in the reference.
            rate = recipe.table_lr * lr / max(stage.lr for stage in recipe.stages)
            grads = self._looked_up.grad.flatten(0, 1)
            ids = self.carries[bucket].rows.ids.flatten()
            sparse_sign_step(self.network.table.weight, ids, grads, rate, recipe.table_weight_decay)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.ema.update(self.network)

    def _use_cycles(self, stage: Stage) -> None:
        h, l = self.own_cycles  # noqa: E741
        self.network.cycles = (stage.h_cycles or h, stage.l_cycles or l)

    def rows(self, drawn: TrainingRows) -> Rows:
        """Drawn examples as tensors on the network's device."""
        device = self.network.device
        ids = self.model.identity_rows(drawn.identities)
        arrays = (drawn.tokens, drawn.labels, drawn.positions, ids)
        return Rows(*(torch.from_numpy(np.ascontiguousarray(a, dtype=np.int64)).to(device) for a in arrays))

    def _report(self, loss: Any, bucket: str) -> dict[str, float]:
        sums = {name: float(value) for name, value in loss.metrics.items()}
        count, size = sums.pop("count"), self.recipe.batch_size
        means = {n: (sums[n] / count if count else math.nan) for n in ("accuracy", "exact_accuracy", "steps")}
        return {
            "step": self.step,
            "bucket": bucket,
            "loss": float(loss.total.detach()) / size,
            "lm_loss": sums["lm_loss"] / size,
            "q_halt_loss": sums["q_halt_loss"] / size,
            "halted": count,
            **means,
        }

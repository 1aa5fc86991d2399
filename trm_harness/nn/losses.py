"""Losses of the family: stablemax cross-entropy in float64 and the halting loss.

stablemax (arXiv 2501.04697): ``s(x) = x + 1`` for ``x >= 0``, else ``1 / (1 - x)``; probabilities ``s / sum(s)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trm_harness.types import IGNORE_LABEL


def log_stablemax(logits: Tensor) -> Tensor:
    """Log-probabilities over the last axis, in float64.

    The unused branch is fed a harmless value, or its infinite slope at a logit of exactly 1 would turn the gradient
    into NaN.
    """
    x = logits.double()
    rising = x >= 0
    s = torch.where(rising, torch.where(rising, x, 0.0) + 1.0, 1.0 / (1.0 - torch.where(rising, 0.0, x)))
    return torch.log(s / s.sum(-1, keepdim=True))


def stablemax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Per-token loss, float64 ``[...]``, zero where ``labels`` is ``IGNORE_LABEL``. ``logits [..., vocab]``."""
    valid = labels != IGNORE_LABEL
    picked = log_stablemax(logits).gather(-1, torch.where(valid, labels, 0).long().unsqueeze(-1)).squeeze(-1)
    return torch.where(valid, -picked, 0.0)


def softmax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Per-token loss, float32 ``[...]``, zero where ``labels`` is ``IGNORE_LABEL``."""
    flat = F.cross_entropy(
        logits.float().flatten(0, -2), labels.long().flatten(), ignore_index=IGNORE_LABEL, reduction="none"
    )
    return flat.view(labels.shape)


LOSSES = {"stablemax_cross_entropy": stablemax_cross_entropy, "softmax_cross_entropy": softmax_cross_entropy}


@dataclass
class SupervisionLoss:
    """Loss of one supervision step, summed over rows (divide by the global batch before ``backward``).

    ``total = answer + 0.5 * (halt + proceed)``, and the weighted auxiliary loss where there is one. ``correct`` is bool
    ``[batch]``: the row is right in every labelled cell. ``metrics`` are sums over the rows that halted in this step,
    as the reference logs them.
    """

    total: Tensor
    answer: Tensor
    halt: Tensor
    correct: Tensor
    metrics: dict[str, Tensor]


def supervision_loss(
    logits: Tensor,
    halt_logits: Tensor,
    labels: Tensor,
    halted: Tensor,
    steps: Tensor,
    target_continue: Tensor | None = None,
    kind: str = "stablemax_cross_entropy",
    auxiliary: Tensor | None = None,
    auxiliary_weight: float = 0.0,
    row_weights: Tensor | None = None,
) -> SupervisionLoss:
    """The reference's loss head.

    ``logits [batch, length, vocab]``, ``halt_logits float32 [batch, 2]``, ``labels int [batch, length]``,
    ``halted`` bool and ``steps`` int ``[batch]`` *after* the step. ``target_continue`` float ``[batch]`` is HRM's
    bootstrapped target for the second halting logit. Where ``labels`` go on behind the answer's, these are what
    ``auxiliary [batch, length, classes]`` should say; it counts ``auxiliary_weight`` times. ``row_weights`` float
    ``[batch]`` are those of each row's answer in ``total`` (1 by default); ``answer`` and the metrics stay as they are.
    """
    labels, further = labels[:, : logits.shape[1]], labels[:, logits.shape[1] :]
    valid = labels != IGNORE_LABEL
    counts = valid.sum(-1)
    per_token = LOSSES[kind](logits, labels)
    per_row = (per_token / counts.clamp_min(1).unsqueeze(-1)).sum(-1)
    answer = per_row.sum()
    hits = (logits.argmax(-1) == labels) & valid
    correct = hits.sum(-1) == counts
    stop, proceed = halt_logits.unbind(-1)
    halt = F.binary_cross_entropy_with_logits(stop, correct.to(stop.dtype), reduction="sum")
    total = (answer if row_weights is None else (per_row * row_weights).sum()) + 0.5 * halt
    metrics = _metric_sums(hits, counts, correct, stop, halted, steps)
    metrics |= {"lm_loss": answer.detach(), "q_halt_loss": halt.detach()}
    if target_continue is not None:
        extra = F.binary_cross_entropy_with_logits(proceed, target_continue, reduction="sum")
        total = total + 0.5 * extra
        metrics["q_continue_loss"] = extra.detach()
    if auxiliary is not None:
        known = (further != IGNORE_LABEL).sum(-1, keepdim=True).clamp_min(1)
        # Without labels the head's gradient is zero, not missing: engines treat a missing one each in its own way.
        besides = (
            softmax_cross_entropy(auxiliary, further) / known if further.numel() else auxiliary.float() * 0
        ).sum()
        total = total + auxiliary_weight * besides
        metrics["auxiliary_loss"] = besides.detach()
    return SupervisionLoss(total, answer, halt, correct, metrics)


@torch.no_grad()
def _metric_sums(
    hits: Tensor, counts: Tensor, correct: Tensor, stop: Tensor, halted: Tensor, steps: Tensor
) -> dict[str, Tensor]:
    counted = halted & (counts > 0)
    share = hits.float().div(counts.clamp_min(1).unsqueeze(-1)).sum(-1)
    return {
        "count": counted.sum(),
        "accuracy": torch.where(counted, share, 0.0).sum(),
        "exact_accuracy": (counted & correct).sum(),
        "q_halt_accuracy": (counted & ((stop >= 0) == correct)).sum(),
        "steps": torch.where(counted, steps, 0).sum(),
    }

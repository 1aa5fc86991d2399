"""The automaton in torch. Batches, weights on disk, parameter counts and training come with trm_harness.nn.own."""

from __future__ import annotations

from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trm_harness import BadInput, ModelRequest
from trm_harness.nn.own import OwnModel, OwnNetwork, build, trainable
from trm_harness.nn.supervision import Rows, StepOutput


class Automaton(OwnNetwork):
    """One gated update of every cell a step. State: ``(latent,)``, ``[batch, cells, hidden]``."""

    effective_depth = 2

    def __init__(self, vocab_size: int, seq_len: int, hidden_size: int, supervision_steps: int) -> None:
        """``BadInput`` for a task with other than square boards."""
        super().__init__()
        self.side = isqrt(seq_len)
        if self.side**2 != seq_len:
            raise BadInput(f"the automaton wants a square board, not {seq_len} cells")
        self.symbol, self.place = nn.Embedding(vocab_size, hidden_size), nn.Embedding(seq_len, hidden_size)
        self.hear = nn.Linear(4 * hidden_size, hidden_size)
        self.gates, self.new = nn.Linear(2 * hidden_size, 2 * hidden_size), nn.Linear(2 * hidden_size, hidden_size)
        self.answer, self.halt = nn.Linear(hidden_size, vocab_size), nn.Linear(hidden_size, 1)

    def initial_state(self, batch: int, length: int) -> tuple[Tensor, ...]:
        """Zeros."""
        return (torch.zeros(batch, length, self.symbol.embedding_dim, device=self.device),)

    def forward(self, state: tuple[Tensor, ...], rows: Rows, puzzle: Tensor | None) -> StepOutput:
        """One update of every cell."""
        (latent,) = state
        given = self.symbol(rows.tokens) + self.place(rows.positions)
        heard = F.silu(self.hear(torch.cat([given, *self._means(latent)], -1)))
        forget, keep = torch.sigmoid(self.gates(torch.cat([heard, latent], -1))).chunk(2, -1)
        new = torch.tanh(self.new(torch.cat([heard, forget * latent], -1)))
        latent = keep * latent + (1 - keep) * new
        return StepOutput((latent,), self.answer(latent), self.halt(latent.mean(1))[:, 0])

    def _means(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What a cell hears: the means of its row, of its column and of the board."""
        board = latent.unflatten(1, (self.side, self.side))
        means = (board.mean(dims, keepdim=True) for dims in ((2,), (1,), (1, 2)))
        return tuple(mean.expand_as(board).flatten(1, 2) for mean in means)


def answering(request: ModelRequest) -> OwnModel:
    """The target of evaluations."""
    return build(Automaton, request)


def training(request: ModelRequest) -> OwnModel:
    """The target of trainers."""
    return trainable(Automaton, request)

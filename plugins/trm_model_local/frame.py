"""A frame whose cells are rows of symbols: every symbol of every cell has a state of its own, none is special."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trm_harness.nn.frame import Frame, FrameConfig
from trm_harness.nn.layers import Embedding, Linear

_THIS, _OTHER = 0, 1
"""Embedding rows: the cell holds this symbol, it holds another one; from row 2 on the tokens that are no symbols."""


class SymbolFrame(Frame):
    """Tokens ``first .. first + count - 1`` are interchangeable symbols (arXiv 2603.02193 has the idea for TRM).

    A state is ``[batch, prefix + cells * count, hidden]``. Renaming the symbols renames the answer and changes nothing
    else. No weight depends on ``count`` or on the number of cells.
    """

    def __init__(self, config: FrameConfig, first: int, count: int) -> None:
        super().__init__(config)
        self.first, self.count = first, count
        self.others = config.vocab_size - count
        self.token_embedding = Embedding(2 + self.others, config.hidden_size)
        self.answer_head = Linear(config.hidden_size, 1 + self.others)

    def embed(self, tokens: Tensor, positions: Tensor, puzzle: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Network input ``dtype [batch, prefix + cells * count, hidden]``."""
        symbols = torch.arange(self.first, self.first + self.count, device=tokens.device)
        told = tokens.unsqueeze(-1)
        other = torch.where(told < self.first, told + 2, told - self.count + 2)
        is_symbol = (told >= self.first) & (told < self.first + self.count)
        rows = torch.where(is_symbol, torch.where(told == symbols, _THIS, _OTHER), other)
        cells = self.token_embedding(rows.flatten(1), dtype)
        prefix = self._prefix(puzzle, tokens.shape[0], dtype)
        return math.sqrt(self.config.hidden_size) * torch.cat((prefix, cells), dim=1)

    def read(self, answer: Tensor) -> tuple[Tensor, Tensor]:
        """Cell logits ``[batch, cells, vocab]`` and float32 halting logits ``[batch, 2]``."""
        cells = answer[:, self.config.prefix :].unflatten(1, (-1, self.count))
        out = self.answer_head(cells)
        others = out[..., 1:].mean(2)
        logits = torch.cat((others[..., : self.first], out[..., 0], others[..., self.first :]), dim=-1)
        return logits, self.halt_head(answer[:, 0]).float()

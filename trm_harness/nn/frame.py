"""What every member of the family has around its recursion: token embedding, puzzle prefix, positions, two heads."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trm_harness.nn.layers import Embedding, Linear, Rope, rope_tables, truncated_lecun_

POSITIONS = ("rope", "learned", "none")


@dataclass(frozen=True)
class FrameConfig:
    """Shape of the frame.

    ``prefix`` is the number of positions before the grid that hold the puzzle embedding (0 = none);
    ``puzzle_dim`` the width of one table row; ``positions`` one of ``rope``, ``learned``, ``none``.
    """

    vocab_size: int
    seq_len: int
    hidden_size: int
    heads: int
    positions: str = "rope"
    prefix: int = 16
    puzzle_dim: int = 512
    rope_theta: float = 10000.0


class PuzzleTable(nn.Module):
    """One learned row per puzzle identity, ``weight`` float32 ``[rows, dim]``: a buffer, stepped by its own optimizer.

    Row 0 is the blank identity. A network may look several rows up for one puzzle (``ids [batch, k]``).
    """

    def __init__(self, rows: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(rows, dim))

    def forward(self, ids: Tensor) -> Tensor:
        """``int64 [batch, k] -> float32 [batch, k, dim]``."""
        return F.embedding(ids, self.weight)


class Frame(nn.Module):
    """Embeds a batch and reads the answer state out. Sources: TRM (arXiv 2510.04871), HRM (arXiv 2506.21734)."""

    def __init__(self, config: FrameConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = Embedding(config.vocab_size, config.hidden_size)
        rows = config.prefix + config.seq_len
        self.position_embedding = Embedding(rows, config.hidden_size) if config.positions == "learned" else None
        self.answer_head = Linear(config.hidden_size, config.vocab_size)
        self.halt_head = Linear(config.hidden_size, 2, bias=True)
        # Starting at sigmoid(-5) keeps early training from halting before anything is learnt (reference).
        nn.init.zeros_(self.halt_head.weight)
        nn.init.constant_(self.halt_head.bias, -5.0)

    def embed(self, tokens: Tensor, positions: Tensor, puzzle: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Network input ``dtype [batch, prefix + length, hidden]``.

        ``tokens`` int ``[batch, length]``; ``positions`` int ``[batch, length]`` on the full canvas; ``puzzle`` float
        ``[batch, k, puzzle_dim]`` (``None`` without a table), laid flat over the prefix and zero-padded.
        """
        config = self.config
        x = self.token_embedding(tokens, dtype)
        if config.prefix:
            x = torch.cat((self._prefix(puzzle, tokens.shape[0], dtype), x), dim=1)
        if self.position_embedding is not None:
            x = 0.707106781 * (x + self.position_embedding(self._full_positions(positions), dtype))
        return math.sqrt(config.hidden_size) * x

    def _prefix(self, puzzle: Tensor | None, batch: int, dtype: torch.dtype) -> Tensor:
        room = self.config.prefix * self.config.hidden_size
        if puzzle is None:
            return self.answer_head.weight.new_zeros(batch, self.config.prefix, self.config.hidden_size, dtype=dtype)
        flat = puzzle.flatten(1).to(dtype)
        return F.pad(flat, (0, room - flat.shape[1])).view(batch, self.config.prefix, self.config.hidden_size)

    def _full_positions(self, positions: Tensor) -> Tensor:
        head = torch.arange(self.config.prefix, device=positions.device).expand(*positions.shape[:-1], -1)
        return torch.cat((head, positions + self.config.prefix), dim=-1)

    def rope(self, positions: Tensor) -> Rope | None:
        """Rotary tables for canvas ``positions [batch, length]``, prefix first; ``None`` for other position codes."""
        if self.config.positions != "rope":
            return None
        return rope_tables(
            self._full_positions(positions), self.config.hidden_size // self.config.heads, self.config.rope_theta
        )

    def read(self, answer: Tensor) -> tuple[Tensor, Tensor]:
        """Cell logits ``[batch, length, vocab]`` and float32 halting logits ``[batch, 2]`` (halt, continue)."""
        logits = self.answer_head(answer)[:, self.config.prefix :]
        return logits, self.halt_head(answer[:, 0]).float()


def initial_state(dim: int) -> Tensor:
    """A fixed starting vector of a state, ``[dim]``, unit standard deviation."""
    return truncated_lecun_(torch.empty(dim), 1.0)

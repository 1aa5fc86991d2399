"""HRM and the direct predictor. Equality with the reference is what ``tests/plugins/test_hrm_parity.py`` proves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from trm_harness.nn.layers import Rope
from trm_harness.nn.network import Network, NetworkConfig
from trm_harness.nn.recursion import refine_pair
from trm_harness.nn.supervision import State


@dataclass(frozen=True)
class HRMConfig(NetworkConfig):
    """Architecture. Reference names in brackets.

    ``h_layers`` [H_layers] of the slow network that updates the answer ``y``, ``l_layers`` [L_layers] of the fast one
    that updates the latent ``z``, ``h_cycles`` [H_cycles] answer updates a supervision step, ``l_cycles`` [L_cycles]
    latent updates before each.
    """

    title: ClassVar[str] = "HRM"
    counts: ClassVar[tuple[str, ...]] = (*NetworkConfig.counts, "h_layers", "l_layers", "h_cycles", "l_cycles")

    h_layers: int = 4
    l_layers: int = 4
    h_cycles: int = 2
    l_cycles: int = 2
    prefix: int = 1

    @property
    def effective_depth(self) -> int:
        """Layers passed in one supervision step."""
        return self.h_cycles * (self.l_cycles * self.l_layers + self.h_layers)


class HRM(Network):
    """Two networks, state ``(y, z)``; only the very last latent and the last answer update have gradients."""

    halts_on_continue = True
    bootstraps = True

    def __init__(self, config: HRMConfig, dtype: torch.dtype = torch.float32) -> None:
        stacks = {"answer_core": config.h_layers, "latent_core": config.l_layers}
        super().__init__(config, dtype, stacks, ("y_init", "z_init"))
        self.cycles = (config.h_cycles, config.l_cycles)

    def layer_passes(self) -> tuple[int, int]:
        """Gradients through the last update of each network; the bootstrapped target takes a second forward pass."""
        rounds, updates = self.cycles
        whole = rounds * (updates * self.config.l_layers + self.config.h_layers)
        carrying = self.config.l_layers + self.config.h_layers
        return 2 * whole - carrying, carrying

    def refine(self, state: State, x: Tensor, rope: Rope | None, last: bool) -> State:
        """One cycle of the slow network: ``l_cycles`` latent updates, then one answer update."""
        return refine_pair(self.latent_core, self.answer_core, state, x, rope, self.cycles[1], one_step=last)


@dataclass(frozen=True)
class DirectConfig(NetworkConfig):
    """Architecture. ``layers`` [H_layers]; the reference's H_cycles is not read by its own forward pass."""

    title: ClassVar[str] = "direct"
    counts: ClassVar[tuple[str, ...]] = (*NetworkConfig.counts, "layers")

    heads: int = 12
    layers: int = 8
    prefix: int = 1

    @property
    def effective_depth(self) -> int:
        """Layers passed in one supervision step."""
        return self.layers


class Direct(Network):
    """One pass of one network over ``y + x`` a supervision step, with full gradients; state ``(y,)``.

    As in the reference the continue logit decides halting although nothing trains it.
    """

    halts_on_continue = True

    def __init__(self, config: DirectConfig, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(config, dtype, {"core": config.layers}, ("y_init",))

    def layer_passes(self) -> tuple[int, int]:
        """The one pass, with gradients."""
        return 0, self.config.layers

    def refine(self, state: State, x: Tensor, rope: Rope | None, last: bool) -> State:
        """The one pass."""
        return (self.core(state[0], x, rope),)

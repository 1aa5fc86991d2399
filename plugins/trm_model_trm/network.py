"""The Tiny Recursive Model: one small network refines a latent ``z`` and an answer ``y`` in turn (arXiv 2510.04871).

Equality with the reference (forward at every supervision step, losses, gradients, optimizer steps) is what
``tests/plugins/test_trm_parity.py`` proves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from trm_harness.nn.layers import Rope
from trm_harness.nn.network import Network, NetworkConfig
from trm_harness.nn.recursion import refine_pair, refine_scales, refine_single
from trm_harness.nn.supervision import State

SCALES = 6
"""Latents of the multi-scale variant."""


@dataclass(frozen=True)
class TRMConfig(NetworkConfig):
    """Architecture. Reference names in brackets, the paper's letters in parentheses.

    ``layers`` [L_layers], ``h_cycles`` [H_cycles] (T) outer rounds of which the last has gradients, ``l_cycles``
    [L_cycles] (n) latent updates a round. The paper's ablations (tables 1 and 2) are these three: ``features`` 2 for
    an answer ``y`` and a latent ``z``, 1 for a single ``z`` that is both, 7 for a ``z`` of its own for each of up to
    six latent updates (multi-scale z); ``networks`` 1 for a network shared by the updates of ``y`` and ``z``, 2 for
    separate ones (f_H and f_L); ``gradient`` ``full`` through the whole last round, ``one-step`` through the last
    update of ``z`` and of ``y`` only.
    """

    title: ClassVar[str] = "TRM"
    counts: ClassVar[tuple[str, ...]] = (*NetworkConfig.counts, "layers", "h_cycles", "l_cycles")
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        **NetworkConfig.choices,
        "features": (1, 2, SCALES + 1),
        "networks": (1, 2),
        "gradient": ("full", "one-step"),
    }
    variant: ClassVar[tuple[str, ...]] = (*NetworkConfig.variant, "features", "networks", "gradient")

    layers: int = 2
    h_cycles: int = 3
    l_cycles: int = 6
    features: int = 2
    networks: int = 1
    gradient: str = "full"

    def _check_sizes(self) -> None:
        super()._check_sizes()
        if self.features > 2 and (self.l_cycles > SCALES or self.networks > 1):
            raise self._bad(f"{SCALES} latents take at most {SCALES} updates a round of one network: lower l_cycles")
        if self.features < self.networks:
            raise self._bad("a single feature has nothing for a second network to update: set networks or features")

    @property
    def effective_depth(self) -> int:
        """Layers passed in one supervision step: layers x (latent updates + 1) x rounds, as the paper counts."""
        return self.layers * (self.l_cycles + 1) * self.h_cycles


class TRM(Network):
    """The network. State is ``(y, z)``, or ``(z,)`` with a single feature."""

    def __init__(self, config: TRMConfig, dtype: torch.dtype = torch.float32) -> None:
        names = ("core",) if config.networks == 1 else ("latent_core", "answer_core")
        scales = tuple(f"z{scale}_init" for scale in range(1, SCALES + 1))
        starts = {1: ("z_init",), 2: ("y_init", "z_init")}.get(config.features, ("y_init", *scales))
        super().__init__(config, dtype, dict.fromkeys(names, config.layers), starts)
        self.cycles = (config.h_cycles, config.l_cycles)

    def layer_passes(self) -> tuple[int, int]:
        """Every round but the last is free of gradients; so is most of the last with a one-step gradient."""
        rounds, updates = self.cycles
        each = self.config.layers * (updates + 1)
        carrying = 2 * self.config.layers if self.config.gradient == "one-step" else each
        return rounds * each - carrying, carrying

    def refine(self, state: State, x: torch.Tensor, rope: Rope | None, last: bool) -> State:
        """One round: latent updates given input and answer, then one update of the answer."""
        one_step = last and self.config.gradient == "one-step"
        latent, answer = self.stacks[0], self.stacks[-1]
        if self.config.features == 1:
            return refine_single(latent, state, x, rope, self.cycles[1], one_step)
        if self.config.features > 2:
            return refine_scales(latent, state, x, rope, self.cycles[1], one_step)
        return refine_pair(latent, answer, state, x, rope, self.cycles[1], one_step)

"""Manifest of the TRM plugin: "Less is More" (arXiv 2510.04871) as published, its ablations, and a nano model."""

from __future__ import annotations

from collections.abc import Callable

from trm_harness.hookspecs import hookimpl
from trm_harness.specs import ModelSpec

PLUGIN_API = 1

PAPER = "https://arxiv.org/abs/2510.04871"

PUBLISHED = {
    "hidden_size": 512,
    "heads": 8,
    "layers": 2,
    "expansion": 4.0,
    "h_cycles": 3,
    "l_cycles": 4,
    "supervision_steps": 16,
    "mixer": "attention",
    "positions": "rope",
    "prefix": 16,
    "puzzle_dim": 512,
    "features": 2,
    "networks": 1,
    "gradient": "full",
}

ABLATED = PUBLISHED | {"l_cycles": 6}
"""The paper ablates with T = 3, n = 6 (on Sudoku-Extreme, from the MLP mixer); these keep the attention of trm-7m."""

NANO = PUBLISHED | {
    "hidden_size": 64,
    "heads": 4,
    "h_cycles": 2,
    "l_cycles": 3,
    "supervision_steps": 8,
    "mixer": "mlp",
    "positions": "none",
    "prefix": 1,
    "puzzle_dim": 0,
}

MINI = NANO | {"hidden_size": 128, "expansion": 2.0, "supervision_steps": 16}
"""Twice as wide with blocks half as thick: 0.3M parameters on 9x9 boards, what 20 minutes of CPU can train."""


def _spec(name: str, title: str, description: str, config: dict, tasks: tuple[str, ...] = ("*",)) -> ModelSpec:
    return ModelSpec(
        id=name,
        version=1,
        target="trm_model_trm.model:build",
        trainable="trm_model_trm.model:trainable",
        title=title,
        description=description,
        family="recursive",
        tasks=tasks,
        needs_weights=True,
        paper=PAPER,
        config=config,
    )


SPECS = (
    _spec("trm-7m", "TRM, attention", "Tiny Recursive Model with rotary self-attention, 7M parameters.", PUBLISHED),
    _spec(
        "trm-mlp-5m",
        "TRM, MLP mixer",
        "Tiny Recursive Model that mixes cells with an MLP; 5M parameters on 9x9 Sudoku, 19M on 30x30 grids.",
        PUBLISHED | {"mixer": "mlp", "positions": "none", "l_cycles": 6},
    ),
    _spec(
        "trm-7m-learned",
        "TRM, learned positions",
        "The attention model with a learned position table in place of rotary positions.",
        PUBLISHED | {"positions": "learned"},
    ),
    _spec(
        "trm-7m-singlez",
        "TRM ablation: single z",
        "One feature that is answer and latent at once (table 2 of the paper); 7M parameters.",
        ABLATED | {"features": 1},
    ),
    _spec(
        "trm-7m-multiscale",
        "TRM ablation: multi-scale z",
        "A latent of its own for each of the six updates of a round (table 2 of the paper); 7M parameters.",
        ABLATED | {"features": 7},
    ),
    _spec(
        "trm-7m-separate",
        "TRM ablation: separate networks",
        "Separate networks for the updates of y and z, f_H and f_L (table 1 of the paper); 14M parameters.",
        ABLATED | {"networks": 2},
    ),
    _spec(
        "trm-7m-4layers",
        "TRM ablation: 4 layers, n = 3",
        "Twice the layers, half the latent updates (table 1 of the paper); 14M parameters.",
        ABLATED | {"layers": 4, "l_cycles": 3},
    ),
    _spec(
        "trm-7m-onestep",
        "TRM ablation: one-step gradient",
        "Gradients through the last update of z and of y only, as in HRM (table 1 of the paper); 7M parameters.",
        ABLATED | {"gradient": "one-step"},
    ),
    _spec(
        "trm-7m-factored",
        "TRM, factored puzzle identity",
        "trm-7m whose puzzle identity is made of learned parts (task, dihedral map, ten colours), not a row a view: "
        "thousands of times fewer values, and one for every view. A variant of this harness, not of the paper.",
        PUBLISHED | {"identities": "factored"},
        ("arc1", "arc2"),
    ),
    _spec("trm-nano", "TRM nano", "A small MLP-mixing TRM that trains in minutes on a CPU.", NANO),
    _spec("trm-mini", "TRM mini", "An MLP-mixing TRM of 0.3M parameters for boards that nano is too narrow for.", MINI),
)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Declare the TRM family."""
    for spec in SPECS:
        register(spec)

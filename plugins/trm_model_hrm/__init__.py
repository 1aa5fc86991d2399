"""Manifest of the HRM plugin: the two-network model (arXiv 2506.21734) and the direct predictor to compare it with."""

from __future__ import annotations

from collections.abc import Callable

from trm_harness.hookspecs import hookimpl
from trm_harness.specs import ModelSpec

PLUGIN_API = 1

HRM_PAPER = "https://arxiv.org/abs/2506.21734"
TRM_PAPER = "https://arxiv.org/abs/2510.04871"

PUBLISHED = {
    "hidden_size": 512,
    "heads": 8,
    "expansion": 4.0,
    "h_layers": 4,
    "l_layers": 4,
    "h_cycles": 2,
    "l_cycles": 2,
    "supervision_steps": 16,
    "mixer": "attention",
    "positions": "rope",
    "prefix": 1,
    "puzzle_dim": 512,
}

DIRECT = {
    "hidden_size": 512,
    # 512 / 12 rounds down to heads of 42, so attention reads and writes 504 of the 512 values: as published.
    "heads": 12,
    "expansion": 4.0,
    "layers": 8,
    "supervision_steps": 16,
    "mixer": "attention",
    "positions": "rope",
    "prefix": 1,
    "puzzle_dim": 512,
}

SMALL = {
    "hidden_size": 64,
    "heads": 4,
    "supervision_steps": 8,
    "mixer": "mlp",
    "positions": "none",
    "prefix": 1,
    "puzzle_dim": 0,
}

MINI = SMALL | {"hidden_size": 128, "expansion": 2.0, "supervision_steps": 16}
"""Beside trm-mini what ``SMALL`` is beside trm-nano."""


def _spec(name: str, kind: str, family: str, title: str, description: str, paper: str, config: dict) -> ModelSpec:
    return ModelSpec(
        id=name,
        version=1,
        target=f"trm_model_hrm.model:build_{kind}",
        trainable=f"trm_model_hrm.model:trainable_{kind}",
        title=title,
        description=description,
        family=family,
        needs_weights=True,
        paper=paper,
        config=config,
    )


SPECS = (
    _spec(
        "hrm-27m",
        "hrm",
        "recursive",
        "HRM",
        "Hierarchical Reasoning Model: a fast and a slow network, one-step gradient, learned halting; 27M parameters.",
        HRM_PAPER,
        PUBLISHED,
    ),
    _spec(
        "hrm-nano",
        "hrm",
        "recursive",
        "HRM nano",
        "Two one-layer networks that mix cells with an MLP: as many parameters as trm-nano.",
        HRM_PAPER,
        PUBLISHED | SMALL | {"h_layers": 1, "l_layers": 1, "l_cycles": 3},
    ),
    _spec(
        "hrm-mini",
        "hrm",
        "recursive",
        "HRM mini",
        "Two one-layer networks that mix cells with an MLP: as many parameters as trm-mini.",
        HRM_PAPER,
        PUBLISHED | MINI | {"h_layers": 1, "l_layers": 1, "l_cycles": 3},
    ),
    _spec(
        "direct-27m",
        "direct",
        "direct",
        "Direct prediction, 27M",
        "A transformer of HRM's size without recursion inside a step: the reference's baseline.",
        TRM_PAPER,
        DIRECT,
    ),
    _spec(
        "direct-nano",
        "direct",
        "direct",
        "Direct prediction, nano",
        "Two layers that mix cells with an MLP, no recursion inside a step: as many parameters as trm-nano.",
        TRM_PAPER,
        DIRECT | SMALL | {"layers": 2},
    ),
    _spec(
        "direct-mini",
        "direct",
        "direct",
        "Direct prediction, mini",
        "Two layers that mix cells with an MLP, no recursion inside a step: as many parameters as trm-mini.",
        TRM_PAPER,
        DIRECT | MINI | {"layers": 2},
    ),
)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Declare the HRM family and the direct predictors."""
    for spec in SPECS:
        register(spec)

"""Manifest of the local networks: TRM's recursion with cells mixed by convolution, messages or a task's relations."""

from __future__ import annotations

from collections.abc import Callable

from trm_harness.hookspecs import hookimpl
from trm_harness.specs import ModelSpec

PLUGIN_API = 1

PAPER = "https://arxiv.org/abs/2510.04871"

CONV = {
    "hidden_size": 64,
    "width": 128,
    "layers": 2,
    "h_cycles": 2,
    "l_cycles": 4,
    "supervision_steps": 16,
    "mixer": "conv",
    "kernel": 3,
    "prefix": 1,
    "puzzle_dim": 0,
    "broadcast": True,
}
MESSAGE = CONV | {"mixer": "messages", "message": 16, "auxiliary": 0}
RELATIONAL = {
    "hidden_size": 32,
    "width": 64,
    "layers": 2,
    "h_cycles": 2,
    "l_cycles": 3,
    "supervision_steps": 16,
    "mixer": "relations",
    "prefix": 1,
    "puzzle_dim": 0,
    "broadcast": False,
}
VARIANT = "A variant of this harness, not of the paper."
_CONV = (
    "TRM whose cells mix by a 3x3 convolution: {}. Its weights fit square canvases of any size, so they can be trained "
    f"on small ones and used on large ones (after arXiv 2202.05826). {VARIANT}"
)
_MESSAGE = (
    "TRM whose cells hear a message from each of their four neighbours: {}. Its weights fit square canvases of any "
    f"size (after arXiv 2202.05826 and neural message passing, arXiv 1704.01212). {VARIANT}"
)
_RELATIONAL = (
    "TRM whose cells mix over the relations that the task declares, with a state for every cell and symbol: {}. No "
    f"symbol is special, and weights fit boards of any size (after arXiv 1711.08028 and 2603.02193). {VARIANT}"
)


def _spec(name: str, title: str, description: str, config: dict, needs: tuple[str, ...] = ()) -> ModelSpec:
    kind = name.split("-")[1]
    return ModelSpec(
        id=name,
        version=1,
        target=f"trm_model_local.model:build_{kind}",
        trainable=f"trm_model_local.model:trainable_{kind}",
        title=title,
        description=description,
        family="recursive",
        needs=needs,
        needs_weights=True,
        paper=PAPER,
        config=config,
    )


_CANVAS = {"prefix": 4, "encoding": {"canvas": "fit"}}
"""What a task with puzzle identities needs besides."""

SPECS = (
    _spec("trm-conv-nano", "TRM conv, nano", _CONV.format("68,000 parameters"), CONV),
    _spec(
        "trm-conv-mini",
        "TRM conv, mini",
        _CONV.format("233,000 parameters"),
        CONV | {"hidden_size": 128, "width": 256, "broadcast": False},
    ),
    _spec(
        "trm-conv-small",
        "TRM conv, small",
        _CONV.format("0.37 million parameters, and puzzle identities through its prefix"),
        CONV | {"hidden_size": 128, "width": 256, "puzzle_dim": 512} | _CANVAS,
    ),
    _spec(
        "trm-message-pico",
        "TRM message, pico",
        _MESSAGE.format("15,000 parameters, small enough to learn each puzzle's rule by itself (--adapt full)"),
        MESSAGE
        | {"hidden_size": 32, "width": 64, "message": 8, "layers": 1, "h_cycles": 1, "l_cycles": 5}
        | {"supervision_steps": 4, "broadcast": False, "encoding": {"canvas": "fit", "views": "free-colours"}},
    ),
    _spec("trm-message-nano", "TRM message, nano", _MESSAGE.format("107,000 parameters"), MESSAGE),
    _spec(
        "trm-message-micro",
        "TRM message, micro",
        _MESSAGE.format("263,000 parameters, nano with wider layers and messages"),
        MESSAGE | {"width": 256, "message": 32},
    ),
    _spec(
        "trm-message-mini",
        "TRM message, mini",
        _MESSAGE.format("354,000 parameters"),
        MESSAGE | {"hidden_size": 128, "width": 256, "message": 24, "broadcast": False},
    ),
    _spec(
        "trm-message-small",
        "TRM message, small",
        _MESSAGE.format("0.49 million parameters, and puzzle identities through its prefix"),
        MESSAGE | {"hidden_size": 128, "width": 256, "message": 24, "puzzle_dim": 512} | _CANVAS,
    ),
    _spec(
        "trm-relational-nano",
        "TRM relational, nano",
        _RELATIONAL.format("31,000 parameters"),
        RELATIONAL,
        ("relations",),
    ),
    _spec(
        "trm-relational-mini",
        "TRM relational, mini",
        _RELATIONAL.format("70,000 parameters"),
        RELATIONAL | {"hidden_size": 48, "width": 96},
        ("relations",),
    ),
)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Declare the local networks."""
    for spec in SPECS:
        register(spec)

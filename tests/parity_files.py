"""Where the golden files of the reference lie, and the recipe for weights too large to store."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
COMMITTED = HERE / "parity"
FULL = HERE.parent.parent / "shared" / "parity"


def parity_roots() -> list[tuple[str, Path]]:
    """The committed subset always, the full set where it is at hand."""
    return [("committed", COMMITTED), *([("full", FULL)] if FULL.is_dir() else [])]


def weights_from_recipe(spec: dict) -> dict[str, torch.Tensor]:
    """Rebuild the full-size weights of a fixture and check their hashes (fixture README, section 3)."""
    state = {}
    for name, entry in spec["weights"].items():
        stream = np.random.Generator(np.random.Philox(spec["weight_seed"] * 1000 + entry["index"]))
        kind, *scale = entry["scale"]
        shape = tuple(entry["shape"])
        if kind == "uniform":
            value = stream.uniform(-scale[0], scale[0], shape)
        else:
            value = stream.standard_normal(shape) * scale[0]
        value = value.astype("<f4")
        assert sha256(value.tobytes()).hexdigest() == entry["sha256"], name
        state[name] = torch.from_numpy(value)
    return state

"""Golden files of the reference implementation: where they lie, and which cases they hold.

``tests/parity`` holds a part of them (its README says what is in which file), the whole set may lie beside the checkout
in ``../shared/parity``; what is there is tested. ``PARITY=DIR pytest ...`` tests the files of ``DIR`` instead of both.
Cases are found by listing, and sizes, names of subsets and the like are read from each case, so any folder of that
form will do, with more cases, fewer, or others.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

HERE = Path(__file__).resolve().parent
COMMITTED = HERE / "parity"
BESIDE = HERE.parent.parent / "shared" / "parity"
FORMS = ("models/*/config.json", "arc_eval/*/config.json", "data/*", "*.npz", "schedule.json")


def parity_roots() -> dict[str, Path]:
    """The folders of golden files to test against, by a short name."""
    if given := os.environ.get("PARITY"):
        folder = Path(given).resolve()
        if not any(path for form in FORMS for path in folder.glob(form)):
            raise FileNotFoundError(f"PARITY={given}: no golden files there; expected one of {', '.join(FORMS)}")
        return {"given": folder}
    return {"committed": COMMITTED} | ({"full": BESIDE} if BESIDE.is_dir() else {})


def golden(pattern: str) -> list[Any]:
    """Every file or folder of the form ``pattern``, as test parameters."""
    return [
        pytest.param(path, id=f"{path.stem}-{label}")
        for label, root in parity_roots().items()
        for path in sorted(root.glob(pattern))
    ]


def golden_groups(pattern: str) -> list[Any]:
    """``(file, group)`` for the groups of arrays in every ``.npz`` of the form ``pattern``: ``group.<...>.name``."""
    return [
        pytest.param(parameter.values[0], group, id=f"{group}-{parameter.id}")
        for parameter in golden(pattern)
        for group in dict.fromkeys(name.split(".")[0] for name in np.load(parameter.values[0]).files)
    ]


def read_json(path: Path) -> Any:
    """What a JSON file holds."""
    return json.loads(path.read_text())


def meta_of(file: Path) -> dict[str, Any]:
    """What ``meta.json`` says of the ``expected_<case>.npz`` beside it."""
    return read_json(file.with_name("meta.json"))[file.stem.removeprefix("expected_")]


def weights_from_recipe(spec: dict) -> dict[str, torch.Tensor]:
    """Rebuild weights that are too large to store from their recipe, and check their hashes."""
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

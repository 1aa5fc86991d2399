"""Cards with real weights files, and a plugin that brings them in through the public door."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

CONFIG = {"hidden_size": 16, "layers": 2, "expansion": 4.0, "mixer": "mlp"}
TENSORS = {
    "core.weight": np.arange(24, dtype=np.float32).reshape(4, 6),
    "bias": np.zeros(3, dtype=np.float16),
    "empty": np.zeros((0, 5), dtype=np.float32),
}


def weights(card: str, architecture: str = "trm-toy", config: dict[str, Any] | None = None) -> bytes:
    """A safetensors file as the model plugins write it."""
    metadata = {
        "format": "trm-harness",
        "architecture": architecture,
        "card": card,
        "config": json.dumps({**(config or CONFIG), "seq_len": 16}),
        "commit": "",
    }
    return save(TENSORS, metadata=metadata)


def card_toml(name: str, sha256: str, changes: Mapping[str, str]) -> str:
    """Text of a valid card; ``changes`` replace whole top-level values or tables (written as inline TOML)."""
    keys = {
        "name": f'"{name}"',
        "architecture": f'"{name.split(".")[0]}"',
        "task": '"arc1"',
        "task_version": "1",
        "status": '"trained"',
        "description": '"weights for tests"',
        "effective_depth": "42",
        "license": '"Apache-2.0"',
        "authors": '["A. Author"]',
        "paper": '"arXiv:2510.04871"',
        "sha256": f'"{sha256}"',
        "parameters": "{ network = 27, puzzle_table = 1000, touched_per_puzzle = 8 }",
        "config": '{ hidden_size = 16, layers = 2, expansion = 4, mixer = "mlp" }',
        "training": f'{{ demonstrations = "joint", checkpoint_choice = "last step", seed = 3, '
        f'data = [{{ name = "arc1/train", sha256 = "{"ab" * 32}", puzzles = 400 }}] }}',
        "source": '{ file = "weights.safetensors" }',
        "expected": '{ metric = "pass@2", value = 0.25, n = 400, low = 0.2, high = 0.3, record = "somewhere" }',
    } | changes
    return "".join(f"{key} = {value}\n" for key, value in keys.items() if value)


def make_card(folder: Path, card: str, content: bytes | None = None, **changes: str) -> Path:
    """Write ``folder/CARD/card.toml`` and its weights; the card's folder."""
    content = weights(card) if content is None else content
    (folder / card).mkdir(parents=True)
    (folder / card / "weights.safetensors").write_bytes(content)
    text = card_toml(card, hashlib.sha256(content).hexdigest(), changes)
    (folder / card / "card.toml").write_text(text, encoding="utf-8")
    return folder / card


def cards_plugin(cards: Path) -> str:
    """Source of a plugin (for the ``site`` fixture) that registers the folder ``cards``."""
    return (
        "from pathlib import Path\n"
        "from trm_harness.hookspecs import hookimpl\n"
        "from trm_harness.specs import CardsSpec\n"
        "def folder():\n"
        f"    return Path({str(cards)!r})\n"
        "@hookimpl\n"
        "def register_cards(register):\n"
        "    register(CardsSpec('{module}', '{module}:folder'))\n"
    )

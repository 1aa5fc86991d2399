"""A user's checkout of the reference repository, driven in this process with our weights.

The code in the folder is run, so it must be one that the user trusts. Its interface is that of
SamsungSAILMontreal/TinyRecursiveModels: ``models/recursive_reasoning/<file>.py`` holds a class that is made from a
configuration, gives an ``initial_carry(batch)`` and maps ``(carry, batch)`` to ``(carry, outputs)`` until all rows
halt.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trm_harness.convert.export import CLASSES, reference_form
from trm_harness.errors import BadInput
from trm_harness.nn.network import Architecture, Network

Outputs = Mapping[str, Tensor]


class Reference:
    """Their model, evaluation mode, with the weights of ``network``."""

    def __init__(self, folder: Path, architecture: Architecture, network: Network, names: Any, batch: int) -> None:
        """``BadInput`` if ``folder`` is no such checkout, lacks a package, or cannot express the network."""
        file, arch, state = reference_form(architecture, network, names)
        config = network.config
        settings = arch | {
            "batch_size": batch,
            "seq_len": config.seq_len,
            "vocab_size": config.vocab_size,
            "num_puzzle_identifiers": state["inner.puzzle_emb.weights"].shape[0],
            "forward_dtype": str(network.dtype).removeprefix("torch."),
        }
        self.device = network.device
        with torch.device(self.device):
            self.model = _class(folder, file)(settings)
        _load(self.model, state, folder)
        self.model.to(self.device).eval()

    @torch.inference_mode()
    def run(self, batch: Mapping[str, Tensor]) -> Outputs:
        """Outputs of the last step: every row takes all of them, as the reference evaluates."""
        with torch.device(self.device):
            carry = self.model.initial_carry(batch)
            while True:
                carry, outputs = self.model(carry=carry, batch=batch)
                if bool(carry.halted.all()):
                    return outputs


def _class(folder: Path, file: str) -> Callable[[dict[str, Any]], torch.nn.Module]:
    module, _, name = CLASSES[file].partition("@")
    path = folder / "models" / f"{module.replace('.', '/')}.py"
    if not path.is_file():
        raise BadInput(f"{folder}: holds no models/{module.replace('.', '/')}.py: give a checkout of the reference")
    with _alone(folder):
        try:
            return getattr(importlib.import_module(f"models.{module}"), name)
        except ImportError as error:
            raise BadInput(f"{path}: cannot be imported ({error}): install what it needs") from error
        except AttributeError as error:
            raise BadInput(f"{path}: has no class {name}: give a checkout of the reference") from error


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """``models`` means the folder's package, and only in here: what it imported stays alive through its class."""
    hidden = {name: sys.modules.pop(name) for name in _modules()}
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in _modules():
            del sys.modules[name]
        sys.modules.update(hidden)


def _modules() -> list[str]:
    return [name for name in sys.modules if name == "models" or name.startswith("models.")]


def _load(model: torch.nn.Module, state: Mapping[str, Tensor], folder: Path) -> None:
    try:
        model.load_state_dict(dict(state))
    except RuntimeError as error:
        line = " ".join(str(error).split())
        raise BadInput(f"{folder}: its model does not take the weights: {line[:300]}") from error

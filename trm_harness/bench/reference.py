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
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from trm_harness.convert.export import CLASSES, reference_form
from trm_harness.errors import BadInput
from trm_harness.nn.network import Architecture, Network

Outputs = Mapping[str, Tensor]


class Reference:
    """Their model, evaluation mode, with the weights of ``network``."""

    def __init__(
        self,
        folder: Path,
        architecture: Architecture,
        network: Network,
        names: Any,
        batch: int,
        changed: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """``changed`` are settings of theirs that differ from the network's own.

        ``BadInput`` if ``folder`` is no such checkout, lacks a package, or cannot express the network.
        """
        file, arch, state = reference_form(architecture, network, names)
        config = network.config
        settings = arch | {
            "batch_size": batch,
            "seq_len": config.seq_len,
            "vocab_size": config.vocab_size,
            "num_puzzle_identifiers": state["inner.puzzle_emb.weights"].shape[0],
            "forward_dtype": str(network.dtype).removeprefix("torch."),
            **changed,
        }
        self.folder, self.device = folder, network.device
        module, _, name = CLASSES[file].partition("@")
        made = _found(folder, module, name)
        with _theirs(folder), torch.device(self.device):
            self.model = made(settings)
        _load(self.model, state, folder)
        self.model.to(self.device).eval()

    @torch.inference_mode()
    def run(self, batch: Mapping[str, Tensor]) -> Outputs:
        """Outputs of the last step: every row takes all of them, as the reference evaluates."""
        with _theirs(self.folder):
            with torch.device(self.device):
                carry = self.model.initial_carry(batch)
            while True:
                carry, outputs = self.model(carry=carry, batch=batch)
                if bool(carry.halted.all()):
                    return outputs

    def compile(self) -> None:
        """Compile the whole model, as the reference does before it trains or evaluates."""
        self.model.compile(dynamic=False)


class Lesson:
    """Their model in their loss head, training mode: one supervision step after another, without the optimizer."""

    def __init__(self, theirs: Reference, loss: str) -> None:
        """``BadInput`` if the checkout has no such loss head."""
        head = _found(theirs.folder, "losses", "ACTLossHead")
        with _theirs(theirs.folder):
            self.head = head(theirs.model, loss).train()
        self.theirs, self.carry = theirs, None

    def run(self, batch: Mapping[str, Tensor]) -> float:
        """Loss summed over the rows; the gradients of its mean, and no older ones, are left on the parameters."""
        self.head.zero_grad(set_to_none=True)
        with _theirs(self.theirs.folder):
            if self.carry is None:
                with torch.device(self.theirs.device):
                    self.carry = self.head.initial_carry(batch)
            self.carry, loss, *_ = self.head(carry=self.carry, batch=batch, return_keys=[])
            (loss / len(batch["inputs"])).backward()
        return float(loss.detach())

    def gradients(self) -> dict[str, Tensor]:
        """By the reference's names, without the loss head's prefix."""
        named = self.theirs.model.named_parameters()
        return {name: p.grad for name, p in named if p.grad is not None}

    def compile(self) -> None:
        """Compile model and loss together, as the reference does."""
        self.head.compile(dynamic=False)


def _found(folder: Path, module: str, name: str) -> Callable[..., Any]:
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
        except Exception as error:
            raise BadInput(f"{path}: cannot be imported ({_line(error)}): give a checkout of the reference") from error


@contextlib.contextmanager
def _theirs(folder: Path) -> Iterator[None]:
    """What goes wrong in the folder's code is told as that, in one line. Memory that is not enough is told as it is."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise BadInput(f"{folder}: its code fails ({_line(error)}): is it the reference, unchanged?") from error


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


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
        raise BadInput(f"{folder}: its model does not take the weights: {_line(error)}") from error

"""A user's checkout of the reference repository, driven in this process with our weights.

The code in the folder is run, so it must be one that the user trusts. Its interface is that of
SamsungSAILMontreal/TinyRecursiveModels: ``models/recursive_reasoning/<file>.py`` holds a class that is made from a
configuration, gives an ``initial_carry(batch)`` and maps ``(carry, batch)`` to ``(carry, outputs)`` until all rows
halt. HRM's own repository has the same class in a file of another name.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import torch
from torch import Tensor

from trm_harness.convert.export import CLASSES, reference_form
from trm_harness.errors import BadInput
from trm_harness.nn.network import Architecture, Network

Outputs = Mapping[str, Tensor]

WANTED = "SamsungSAILMontreal/TinyRecursiveModels"
ELSEWHERE = {"recursive_reasoning.hrm": ("hrm.hrm_act_v1", "sapientinc/HRM")}
"""Module of that repository -> where another repository has the same class, and which one that is."""


class Checkout:
    """The folder's package ``models``: in ``sys.modules`` while its code runs, and only then."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._modules: dict[str, ModuleType] = {}

    def find(self, module: str, name: str) -> Callable[..., Any]:
        """A class of theirs. ``BadInput`` where there is no such file or class, or where it cannot be imported."""
        other, repository = ELSEWHERE.get(module, ("", ""))
        path, elsewhere = self._file(module), self._file(other) if other else None
        if not path.is_file() and elsewhere and elsewhere.is_file():
            module, path = other, elsewhere
        if not path.is_file():
            wanted = f"{WANTED} or of {repository}" if repository else WANTED
            raise BadInput(f"{self.folder}: holds no {path.relative_to(self.folder)}: give a checkout of {wanted}")
        with self._present():
            try:
                return getattr(importlib.import_module(f"models.{module}"), name)
            except ImportError as error:
                raise BadInput(f"{path}: cannot be imported ({error}): {_missing(error, module)}") from error
            except AttributeError as error:
                raise BadInput(f"{path}: has no class {name}: give a checkout of the reference") from error
            except Exception as error:
                why = f"cannot be imported ({_line(error)})"
                raise BadInput(f"{path}: {why}: give a checkout of the reference") from error

    def _file(self, module: str) -> Path:
        return self.folder / "models" / f"{module.replace('.', '/')}.py"

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Its code runs; what goes wrong in it is told as that, in one line. Memory that is not enough is told as it
        is.
        """
        with self._present():
            try:
                yield
            except (MemoryError, torch.OutOfMemoryError):
                raise
            except Exception as error:
                why = f"its code fails ({_line(error)})"
                raise BadInput(f"{self.folder}: {why}: is it the reference, unchanged?") from error

    @contextlib.contextmanager
    def _present(self) -> Iterator[None]:
        # Compiling looks its modules up by name long after they were imported.
        hidden = {name: sys.modules.pop(name) for name in _modules()}
        sys.modules.update(self._modules)
        sys.path.insert(0, str(self.folder))
        try:
            yield
        finally:
            sys.path.remove(str(self.folder))
            self._modules = {name: sys.modules.pop(name) for name in _modules()}
            sys.modules.update(hidden)


def _modules() -> list[str]:
    return [name for name in sys.modules if name == "models" or name.startswith("models.")]


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
        file, arch, state, _ = reference_form(architecture, network, names)
        config = network.config
        settings = arch | {
            "batch_size": batch,
            "seq_len": config.seq_len,
            "vocab_size": config.vocab_size,
            "num_puzzle_identifiers": state["inner.puzzle_emb.weights"].shape[0],
            "forward_dtype": str(network.dtype).removeprefix("torch."),
            **changed,
        }
        self.checkout, self.device = Checkout(folder), network.device
        module, _, name = CLASSES[file].partition("@")
        made = self.checkout.find(module, name)
        with self.checkout.running(), torch.device(self.device):
            self.model = made(settings)
        _load(self.model, state, folder)
        self.model.to(self.device).eval()

    @torch.inference_mode()
    def run(self, batch: Mapping[str, Tensor]) -> Outputs:
        """Outputs of the last step: every row takes all of them, as the reference evaluates."""
        with self.checkout.running():
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
        head = theirs.checkout.find("losses", "ACTLossHead")
        with theirs.checkout.running():
            self.head = head(theirs.model, loss).train()
        self.theirs, self.carry = theirs, None

    def run(self, batch: Mapping[str, Tensor]) -> float:
        """Loss summed over the rows; the gradients of its mean, and no older ones, are left on the parameters."""
        self.head.zero_grad(set_to_none=True)
        with self.theirs.checkout.running():
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


def _missing(error: ImportError, module: str) -> str:
    """What to do about a package that a checkout lacks."""
    if error.name == "einops":
        return 'pip install "trm-harness[bench]"'
    others = [repository for name, repository in ELSEWHERE.values() if name == module]
    return f"install what it needs{f', or give a checkout of {WANTED}, which has its own HRM' if others else ''}"


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def _load(model: torch.nn.Module, state: Mapping[str, Tensor], folder: Path) -> None:
    try:
        model.load_state_dict(dict(state))
    except RuntimeError as error:
        line = " ".join(str(error).split())
        raise BadInput(f"{folder}: its model does not take the weights: {line[:300]}") from error

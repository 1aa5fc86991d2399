"""Targets of the TRM specs, and the reference's names of the network."""

from __future__ import annotations

from trm_harness.contracts import ModelRequest
from trm_harness.nn import model
from trm_harness.nn.network import Architecture
from trm_model_trm.network import TRM, TRMConfig

ARCHITECTURE = Architecture("trm", TRMConfig, TRM, reference={"L_level": "core"})


def build(request: ModelRequest) -> model.TorchModel:
    """Load ``request.weights``, or make an untrained network from the spec's config."""
    return model.build(ARCHITECTURE, request)


def trainable(request: ModelRequest) -> model.TorchModel:
    """Like :func:`build`, for trainers: gradients on, parameters in float32."""
    return model.trainable(ARCHITECTURE, request)

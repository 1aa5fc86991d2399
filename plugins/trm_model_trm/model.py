"""Targets of the TRM specs."""

from __future__ import annotations

from trm_harness.contracts import ModelRequest
from trm_harness.nn import model
from trm_model_trm.checkpoint import ARCHITECTURE


def build(request: ModelRequest) -> model.TorchModel:
    """Load ``request.weights``, or make an untrained network from the spec's config."""
    return model.build(ARCHITECTURE, request)


def trainable(request: ModelRequest) -> model.TorchModel:
    """Like :func:`build`, for trainers: gradients on, parameters in float32."""
    return model.trainable(ARCHITECTURE, request)

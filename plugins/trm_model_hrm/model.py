"""Targets of the HRM and direct specs, and the reference's names of their networks."""

from __future__ import annotations

from trm_harness.contracts import ModelRequest
from trm_harness.nn import model
from trm_harness.nn.network import Architecture
from trm_model_hrm.network import HRM, Direct, DirectConfig, HRMConfig

HRM_ARCHITECTURE = Architecture("hrm", HRMConfig, HRM, reference={"H_level": "answer_core", "L_level": "latent_core"})
DIRECT_ARCHITECTURE = Architecture("direct", DirectConfig, Direct, reference={"H_level": "core"})


def build_hrm(request: ModelRequest) -> model.TorchModel:
    """Load ``request.weights``, or make an untrained HRM from the spec's config."""
    return model.build(HRM_ARCHITECTURE, request)


def trainable_hrm(request: ModelRequest) -> model.TorchModel:
    """Like :func:`build_hrm`, for trainers: gradients on, parameters in float32."""
    return model.trainable(HRM_ARCHITECTURE, request)


def build_direct(request: ModelRequest) -> model.TorchModel:
    """Load ``request.weights``, or make an untrained direct predictor from the spec's config."""
    return model.build(DIRECT_ARCHITECTURE, request)


def trainable_direct(request: ModelRequest) -> model.TorchModel:
    """Like :func:`build_direct`, for trainers: gradients on, parameters in float32."""
    return model.trainable(DIRECT_ARCHITECTURE, request)

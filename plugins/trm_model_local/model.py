"""Targets of the local specs: one network, and an architecture's name for each kind of mixing."""

from __future__ import annotations

from trm_harness.contracts import ModelRequest
from trm_harness.nn import model
from trm_harness.nn.network import Architecture
from trm_model_local.network import Local, LocalConfig

CONV = Architecture("trm-conv", LocalConfig, Local, reference={})
MESSAGE = Architecture("trm-message", LocalConfig, Local, reference={})
RELATIONAL = Architecture("trm-relational", LocalConfig, Local, reference={})


def build_conv(request: ModelRequest) -> model.TorchModel:
    """Load ``request.weights``, or make an untrained convolving network from the spec's config."""
    return model.build(CONV, request)


def trainable_conv(request: ModelRequest) -> model.TorchModel:
    """Like :func:`build_conv`, for trainers: gradients on, parameters in float32."""
    return model.trainable(CONV, request)


def build_message(request: ModelRequest) -> model.TorchModel:
    """Load ``request.weights``, or make an untrained network of messages from the spec's config."""
    return model.build(MESSAGE, request)


def trainable_message(request: ModelRequest) -> model.TorchModel:
    """Like :func:`build_message`, for trainers: gradients on, parameters in float32."""
    return model.trainable(MESSAGE, request)


def build_relational(request: ModelRequest) -> model.TorchModel:
    """Load ``request.weights``, or make an untrained relational network from the spec's config."""
    return model.build(RELATIONAL, request)


def trainable_relational(request: ModelRequest) -> model.TorchModel:
    """Like :func:`build_relational`, for trainers: gradients on, parameters in float32."""
    return model.trainable(RELATIONAL, request)

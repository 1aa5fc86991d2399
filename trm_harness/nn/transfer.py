"""Host arrays on their way to a device."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def on_device(array: NDArray[np.integer], device: torch.device) -> Tensor:
    """``array`` as ``int64`` on ``device``. A CUDA device copies it from pinned memory while the host goes on."""
    host = torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64))
    if device.type != "cuda":
        return host.to(device)
    return host.pin_memory().to(device, non_blocking=True)

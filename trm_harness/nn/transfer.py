"""Host arrays on their way to a device, and answers on their way back."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trm_harness.nn.supervision import StepOutput
from trm_harness.types import Prediction


def on_device(array: NDArray[np.integer], device: torch.device) -> Tensor:
    """``array`` as ``int64`` on ``device``. A CUDA device copies it from pinned memory while the host goes on."""
    host = torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64))
    if device.type != "cuda":
        return host.to(device)
    return host.pin_memory().to(device, non_blocking=True)


def predicted(out: StepOutput) -> Prediction:
    """What a network says after a step, on the host."""
    halts = out.halt_logits[:, :1].float().contiguous().view(torch.int32)
    # One copy, so that the host waits for a device once a step.
    both = torch.cat((out.logits.argmax(-1).to(torch.int32), halts), dim=1).cpu().numpy()
    return Prediction(both[:, :-1], np.ascontiguousarray(both[:, -1]).view(np.float32))

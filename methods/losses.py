"""What every loss here needs: arithmetic in float32, whatever the precision of the step.

The losses themselves come from lightly (BYOL, SimCLR, VICReg) and from `cnn_jepa.losses` (both JEPAs).
"""

from __future__ import annotations

import torch


def full_precision(device: torch.device) -> torch.autocast:
    """A block in which nothing is cast down: inside autocast, a matrix product of float32 tensors would be.

    The inputs have to be cast to float32 as well: `tensor.float()`.
    """
    return torch.autocast(device.type, enabled=False)

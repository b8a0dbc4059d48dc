"""For all losses: arithmetic in float32, whatever the precision of the step, and features of the whole batch.

The losses themselves come from lightly (BYOL, SimCLR, VICReg) and from `cnn_jepa.losses` (both JEPAs).

Shape suffixes: B images of this process, D feature dimension.
"""

from __future__ import annotations

import torch
from lightly.utils.dist import gather, world_size
from torch import Tensor


def full_precision(device: torch.device) -> torch.autocast:
    """A context without autocast, which would compute a product of float32 matrices at lower precision.

    The inputs have to be cast to float32 as well: `tensor.float()`.
    """
    return torch.autocast(device.type, enabled=False)


def whole_batch(features_BD: Tensor) -> Tensor:
    """The features of all processes' images, in the order of the batch, for losses that compare images.

    Every process then computes the loss of the whole batch, the same one. Gradients come back summed over processes;
    those of the weights are averaged over them afterwards, as in every method, and so are the whole batch's own.

    Returns:
        `(processes x B, D)`; `features_BD` itself where there is no group of processes.
    """
    return features_BD if world_size() == 1 else torch.cat(gather(features_BD.contiguous()))


def group_mean(values: Tensor) -> Tensor:
    """The mean of a tensor over all processes of the group; the tensor itself where there is none."""
    if world_size() > 1:
        values = values.clone()
        torch.distributed.all_reduce(values)
        values /= world_size()
    return values

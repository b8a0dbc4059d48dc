"""For all losses: arithmetic in float32, whatever the precision of the step, and features of the whole batch.

Most losses come from lightly and from `cnn_jepa.losses`. Lightly's NT-Xent and covariance term choose entries by a mask
on the device, and the host has to wait until the device has counted them; here are the same without a choice.

Shape suffixes: B images, D feature dimension.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from lightly.loss.vicreg_loss import VICRegLoss, invariance_loss, variance_loss
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


def nt_xent(first_BD: Tensor, second_BD: Tensor, temperature: float) -> Tensor:
    """SimCLR's loss (equation 1): each view tells its image's other view apart from all others of the batch.

    The value of lightly's `NTXentLoss`, averaged over the two views of every image.
    """
    both_VD = F.normalize(torch.cat((first_BD, second_BD)), dim=1)
    logits_VV = (both_VD @ both_VD.T / temperature).fill_diagonal_(-torch.inf)  # no view is compared with itself
    return F.cross_entropy(logits_VV, torch.arange(len(both_VD), device=both_VD.device).roll(len(first_BD)))


class VICRegCriterion(VICRegLoss):  # type: ignore[misc]
    """Lightly's loss of VICReg (equation 6), with `covariance` for its own term."""

    def forward(self, z_a: Tensor, z_b: Tensor) -> Tensor:
        """The weighted sum of invariance, variance and covariance of features `(B, ..., D)`."""
        spread = (variance_loss(z_a, self.eps) + variance_loss(z_b, self.eps)) / 2
        weighted: Tensor = self.lambda_param * invariance_loss(z_a, z_b) + self.mu_param * spread
        loss: Tensor = weighted + self.nu_param * (covariance(z_a) + covariance(z_b))
        return loss


def covariance(features: Tensor) -> Tensor:
    """VICReg's covariance term (equation 4) of features `(B, ..., D)`, the mean over what lies between."""
    centred = features - features.mean(dim=0)
    dimension = features.shape[-1]
    products = torch.einsum("b...c,b...d->...cd", centred, centred) / (len(features) - 1)
    own = torch.eye(dimension, dtype=torch.bool, device=features.device)
    return products.masked_fill(own, 0.0).square().sum((-2, -1)).mean() / dimension

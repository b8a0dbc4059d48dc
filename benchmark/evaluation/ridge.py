"""Ridge regression with each of `linear-v1`'s strengths, in closed form.

Shape suffixes: D feature dimension, M strengths.
"""

from __future__ import annotations

import torch

from benchmark.evaluation.logistic import STRENGTHS


def ridge_weights(gram_DD: torch.Tensor, products_D: torch.Tensor, count: int) -> torch.Tensor:
    """Weights `(D, M)`, a column for each of `STRENGTHS`, all from one decomposition.

    They minimise mean squared error / 2 + strength / 2 * |w|^2 over `count` rows of standardised inputs X and centred
    values y.

    Args:
        gram_DD: X^T X / count, float64.
        products_D: X^T y, float64.
        count: the number of rows.
    """
    values_D, basis_DD = torch.linalg.eigh(gram_DD)
    along_D = basis_DD.T @ products_D / count
    strengths_M = torch.tensor(STRENGTHS, dtype=torch.float64)
    weights_DM: torch.Tensor = basis_DD @ (along_D[:, None] / (values_D.clamp_min(0.0)[:, None] + strengths_M))
    return weights_DM

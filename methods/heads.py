"""Heads that several methods share: prototypes (DINO, iBOT) and the narrow ViT that predicts tokens (I-JEPA, MAE).

Shape suffixes: B sequences, K known patches, T asked patches, N patches, S tokens of a sequence, W width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block, init_weights_vit_timm
from torch import Tensor, nn

from methods.backbone_build import sincos_positions


class PrototypeHead(nn.Module):
    """A projector of three layers, unit length, and similarities to prototypes of unit length (DINO, section 3.1).

    The published last layer is weight-normalised with a norm that stays at 1, which is the same.

    Args:
        dimension: of the features.
        hidden: width of the two hidden layers.
        bottleneck: dimension in which prototypes lie.
        prototypes: how many.
        batch_norm: after the hidden layers, as published for CNNs.
    """

    def __init__(self, dimension: int, hidden: int, bottleneck: int, prototypes: int, *, batch_norm: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in (dimension, hidden):
            norm = [nn.BatchNorm1d(hidden)] if batch_norm else []
            layers += [nn.Linear(width, hidden, bias=not batch_norm), *norm, nn.GELU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden, bottleneck))
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        self.prototypes = nn.Parameter(torch.randn(prototypes, bottleneck))

    def forward(self, features: Tensor) -> Tensor:
        """Similarities `(..., prototypes)`, from -1 to 1, of features `(..., D)`."""
        flat = self.layers(features.flatten(0, -2))
        similarities = F.linear(F.normalize(flat, dim=-1), F.normalize(self.prototypes, dim=-1).to(flat.dtype))
        return similarities.reshape(*features.shape[:-1], -1)

    def hold_prototypes(self) -> None:
        """Keeps the prototypes where they are in this step. Weight decay changes their length alone, not the loss."""
        if self.prototypes.grad is not None:
            self.prototypes.grad.zero_()


class TokenPredictor(nn.Module):
    """A narrow ViT that predicts the features of target patches from those of context patches (appendix A).

    Args:
        dimension: D, of input and output.
        grid: rows and columns of the patch grid.
        output: dimension of the output, where it is another one.
    """

    positions_NW: Tensor

    def __init__(
        self, dimension: int, width: int, depth: int, heads: int, grid: tuple[int, int], output: int | None = None
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(dimension, width)
        self.mask_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(width), std=0.02))
        self.register_buffer("positions_NW", sincos_positions(width, grid), persistent=False)
        self.blocks = nn.ModuleList(Block(width, heads, qkv_bias=True) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, output or dimension)
        self.apply(init_weights_vit_timm)

    def forward(self, known_BKD: Tensor, known_BK: Tensor, asked_BT: Tensor, attend_BS: Tensor | None = None) -> Tensor:
        """Predicted features `(sequences, T, output)`.

        Args:
            known_BKD: features `(sequences, K, D)`.
            known_BK: their patches.
            asked_BT: the patches to predict, `(sequences, T)`.
            attend_BS: boolean `(sequences, K + T)`, False at padding, which nothing attends to; None without padding.
        """
        embedded = self.embed(known_BKD)
        known = embedded + self.positions_NW[known_BK].to(embedded.dtype)
        asked = (self.mask_token + self.positions_NW[asked_BT]).to(embedded.dtype)
        tokens = torch.cat((known, asked), dim=1)
        mask = None
        if attend_BS is not None:
            # Added to the scores rather than boolean: older releases of timm add a boolean mask as 0 and 1.
            mask = torch.zeros(attend_BS.shape, dtype=tokens.dtype, device=tokens.device)
            mask = mask.masked_fill(~attend_BS, float("-inf"))[:, None, None, :]
        for block in self.blocks:
            tokens = block(tokens, attn_mask=mask)
        predicted: Tensor = self.head(self.norm(tokens[:, known.shape[1] :]))
        return predicted

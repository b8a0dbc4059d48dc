"""Checkpoints of other libraries: how the user describes one, and a table of where each keeps its encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.errors import UserError
from benchmark.experiment.spec import check_name
from methods.config import nearest

if TYPE_CHECKING:
    from pathlib import Path

    from methods.backbone_spec import BackboneSpec


@dataclass(frozen=True)
class Format:
    """Where a library keeps the encoder that it publishes.

    Attributes:
        holders: entries of the file; the first one present counts, or else the file itself.
        prefixes: text before the network's own parameter names; the first one present counts. All of them are names of
            the same encoder (with and without a wrapper, or of different versions). If none is present, a sibling such
            as a student or a momentum copy never takes its place.
    """

    description: str
    holders: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ("",)


FORMATS: dict[str, Format] = {
    "auto": Format(
        "the entry and prefix under which all of the network is found, whichever library's names are used (also those "
        "of SwAV, MAE, SparK, DINOv2 and v3, VISSL, DeepSpeed, Lightning, transformers)"
    ),
    "bench": Format("encoder.safetensors of this program"),
    "timm": Format(
        "a state dict of timm's; the moving average where there is one, as timm itself takes it",
        ("state_dict_ema", "model_ema", "state_dict", "model"),
        ("", "module."),
    ),
    "torchvision": Format(
        "a state dict of torchvision's; the moving average where there is one",
        ("model_ema", "model", "state_dict"),
        ("", "module."),
    ),
    # Beside `momentum_backbone.`; its first versions said `encoder.` and `momentum_encoder.`.
    "solo-learn": Format(
        "a checkpoint of solo-learn's: its online encoder", ("state_dict",), ("backbone.", "encoder.")
    ),
    # What its examples evaluate is `backbone.`, beside `teacher_backbone.`, `student_backbone.` or `query_backbone.`;
    # `backbone.vit.` where it wraps a ViT of timm's.
    "lightly": Format(
        "a checkpoint of lightly's examples: the encoder that they evaluate",
        ("state_dict",),
        ("backbone.vit.", "backbone."),
    ),
    # Beside `backbone.`, `backbone_sparse.`: the context encoder. `backbone_for_online_eval.` is another name of it.
    "cnn-jepa": Format(
        "a checkpoint of CNN-JEPA's repository: its target encoder", ("state_dict",), ("backbone_momentum.",)
    ),
    "ijepa": Format("a checkpoint of I-JEPA's repository: its target encoder", ("target_encoder",), ("module.", "")),
    # `module.` where the teacher has batch norm; without a prefix in the files that hold the backbone alone.
    "dino": Format(
        "a checkpoint of DINO's repository: its teacher", ("teacher",), ("module.backbone.", "backbone.", "")
    ),
    # Versions 1 and 2, and 3; beside `encoder_k.` or `momentum_encoder.`.
    "moco": Format(
        "a checkpoint of MoCo's repositories: the encoder that they evaluate",
        ("state_dict",),
        ("module.encoder_q.", "module.base_encoder.", "encoder_q.", "base_encoder."),
    ),
}


@dataclass(frozen=True)
class Foreign:
    """A checkpoint file, and what the user knows about it.

    Attributes:
        name: the row's name; by default the file's.
        kind: one of `FORMATS`.
        prefix: the text before the network's own parameter names; None where the format says it.
        allow_partial: load the weights that fit, even if some are missing or left over.
    """

    path: Path
    backbone: BackboneSpec
    name: str
    kind: str = "auto"
    prefix: str | None = None
    allow_partial: bool = False

    def __post_init__(self) -> None:
        if self.kind not in FORMATS:
            raise UserError(f"--format is '{self.kind}'; {nearest(self.kind, FORMATS)}")
        try:
            check_name(self.name)
        except ValueError as error:
            raise UserError(f"--name: {error}") from None

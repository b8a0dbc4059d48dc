"""Loads the encoder of a finished run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from benchmark.errors import UserError
from benchmark.text import first_line
from benchmark.training.checkpoint import ENCODER_FILE
from methods.backbones import BackboneSpec, build_backbone
from methods.base import Encoder, EncoderInfo

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.records.schema import Record


def load_encoder(folder: Path, record: Record) -> Encoder:
    """The primary encoder of the run in `folder`, frozen, as it was scored.

    Raises:
        UserError: the file is damaged or does not fit the record's backbone.
    """
    path = folder / ENCODER_FILE
    config: dict[str, Any] = record.config
    assert record.metrics is not None
    if not path.exists():
        raise UserError(
            f"{path}: no such file; weights stay on the machine of the run and are not shared with its record"
        )
    try:
        backbone = build_backbone(BackboneSpec.model_validate(config["backbone"]), int(config["image_size"]))
        backbone.net.load_state_dict(load_file(path))
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError, OSError) as error:
        raise UserError(f"{path}: is not the encoder of the record beside it ({first_line(error)})") from None
    info = EncoderInfo(record.metrics.scores.weights, backbone.pooling, backbone.dimension)
    return Encoder(backbone, info).requires_grad_(False).eval()

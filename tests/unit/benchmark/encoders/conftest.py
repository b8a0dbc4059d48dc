"""A small network whose weights are looked for, and the folder of a run that left an encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from benchmark.records.folder import write_record
from benchmark.training.checkpoint import export_encoder
from methods.backbones import BackboneSpec, build_backbone
from methods.base import Encoder, EncoderInfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmark.records.schema import Record


@pytest.fixture(scope="package")
def network() -> Any:
    torch.manual_seed(0)
    return build_backbone(BackboneSpec(name="resnet18", width=8), 64).net


@pytest.fixture
def stored_run(make_record: Any, tmp_path: Path) -> Callable[..., tuple[Record, Encoder]]:
    """Writes a record and an untrained encoder of a backbone to `tmp_path`."""

    def store(settings: dict[str, Any], **options: Any) -> tuple[Record, Encoder]:
        torch.manual_seed(0)
        backbone = build_backbone(BackboneSpec.model_validate(settings), 32)
        info = EncoderInfo("online", backbone.pooling, backbone.dimension)
        encoder = Encoder(backbone, info).requires_grad_(False).eval()
        record = make_record(config={"backbone": settings, "image_size": 32}, **options)
        write_record(tmp_path, record)
        export_encoder(tmp_path, encoder)
        return record, encoder

    return store

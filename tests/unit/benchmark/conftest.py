"""Records as a run would leave them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import made_records
import pytest

if TYPE_CHECKING:
    from pathlib import Path

MORNING = datetime.fromisoformat("2026-01-05T08:00:00+00:00")


@pytest.fixture(scope="session")
def make_record() -> Any:
    """The function `made_records.make_record`."""
    return made_records.make_record


@pytest.fixture(scope="session")
def make_history() -> Any:
    """The function `made_records.make_history`."""
    return made_records.make_history


@pytest.fixture(scope="session")
def store() -> Any:
    """The function `made_records.store`."""
    return made_records.store


@pytest.fixture
def ran(make_record: Any) -> Any:
    """Makes a record of a run that started some minutes after eight and took some minutes."""

    def make(entry: str, seed: int, start: float, minutes: float = 10.0, **options: Any) -> Any:
        begun = MORNING + timedelta(minutes=start)
        times = {"started": begun.isoformat(), "ended": (begun + timedelta(minutes=minutes)).isoformat()}
        return make_record(entry, seed, **times, **options)

    return make


@pytest.fixture
def stored_run(make_record: Any, tmp_path: Path) -> Any:
    """Writes a record and an untrained encoder of a backbone to `tmp_path`."""

    import torch

    from benchmark.records.folder import write_record
    from benchmark.training.checkpoint import export_encoder
    from methods.backbone_build import build_backbone
    from methods.backbones import BackboneSpec
    from methods.base import Encoder, EncoderInfo

    def store(settings: dict[str, Any], **options: Any) -> Any:
        torch.manual_seed(0)
        backbone = build_backbone(BackboneSpec.model_validate(settings), 32)
        info = EncoderInfo("online", backbone.pooling, backbone.dimension)
        encoder = Encoder(backbone, info).requires_grad_(False).eval()
        record = make_record(config={"backbone": settings, "image_size": 32}, **options)
        write_record(tmp_path, record)
        export_encoder(tmp_path, encoder)
        return record, encoder

    return store

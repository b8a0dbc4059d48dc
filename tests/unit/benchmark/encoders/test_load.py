"""The encoder of a finished run comes back as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from benchmark.encoders.load import load_encoder
from benchmark.errors import UserError
from benchmark.training.checkpoint import ENCODER_FILE

if TYPE_CHECKING:
    from pathlib import Path


def test_an_encoder_is_loaded_frozen_with_the_weights_that_the_run_left(stored_run: Any, tmp_path: Path) -> None:
    record, encoder = stored_run({"name": "resnet18", "stem": "small", "width": 8})
    loaded = load_encoder(tmp_path, record)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(loaded.features(images), encoder.features(images))
    assert not loaded.training and not any(parameter.requires_grad for parameter in loaded.parameters())
    assert (loaded.info.weights, loaded.info.dimension) == ("online", 64)


def test_a_file_that_is_missing_damaged_or_of_another_network_is_named(stored_run: Any, tmp_path: Path) -> None:
    record, _ = stored_run({"name": "resnet18", "stem": "small", "width": 8})
    other = record.model_copy(update={"config": {**record.config, "backbone": {"name": "resnet18", "width": 16}}})
    with pytest.raises(UserError, match=f"{ENCODER_FILE}: is not the encoder of the record beside it"):
        load_encoder(tmp_path, other)
    path = tmp_path / ENCODER_FILE
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match=f"{ENCODER_FILE}: is not the encoder of the record beside it"):
        load_encoder(tmp_path, record)
    path.unlink()
    with pytest.raises(UserError, match="no such file; weights stay on the machine of the run"):
        load_encoder(tmp_path, record)

"""Checkpoints are read without executing code in them."""

from __future__ import annotations

import argparse
import pickle
from typing import TYPE_CHECKING, Any

import numpy
import pytest
import torch
from layouts import layout
from safetensors.torch import save_file

from benchmark.encoders.match import match
from benchmark.encoders.read import read_checkpoint
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def test_settings_beside_the_weights_are_not_read(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    omegaconf = pytest.importorskip("omegaconf")
    settings = omegaconf.OmegaConf.create({"optimizer": {"lr": 0.1, "betas": [0.9, 0.99]}, "name": "x", "wd": None})
    content = layout("cnn-jepa", network.state_dict())
    content["hyper_parameters"] = {"cfg": settings, "args": argparse.Namespace(path=tmp_path, size=numpy.float64(3.5))}
    torch.save(content, path)
    allowed = set(torch.serialization.get_safe_globals())
    read = read_checkpoint(path)
    assert match(read, network, "cnn-jepa").whole
    assert [type(value).__name__ for value in read["hyper_parameters"].values()] == ["_Unread", "_Unread"]
    assert vars(read["hyper_parameters"]["args"]) == {}
    assert set(torch.serialization.get_safe_globals()) == allowed  # a set of torch's, listed in no order


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("executed",))


def test_a_checkpoint_that_needs_code_is_refused_with_the_reason(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "evil.ckpt"
    torch.save({"state_dict": {}, "config": Evil()}, path)
    with pytest.raises(UserError, match="cannot be read without executing code"):
        read_checkpoint(path)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match=r"executing code|is not a checkpoint"):
        read_checkpoint(path)
    assert "executed" not in capsys.readouterr().out
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"executing code|is not a checkpoint"):
        read_checkpoint(path)
    with pytest.raises(UserError, match="no such file"):
        read_checkpoint(tmp_path / "missing.pth")
    torch.save([1, 2], path)
    with pytest.raises(UserError, match="holds a list"):
        read_checkpoint(path)


def test_safetensors_are_read(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    assert match(read_checkpoint(path), network, "auto").whole
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="is not a checkpoint"):
        read_checkpoint(path)

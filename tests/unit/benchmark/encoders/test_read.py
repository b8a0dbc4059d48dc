"""Checkpoints are read without executing code in them; what else a file is is named."""

from __future__ import annotations

import argparse
import os
import pickle
from typing import TYPE_CHECKING, Any

import numpy
import pytest
import torch
from layouts import layout
from safetensors.torch import save_file

from benchmark.encoders.match import match
from benchmark.encoders.read import read_checkpoint
from benchmark.encoders.stand_ins import Unread
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
    assert [type(value) for value in read["hyper_parameters"].values()] == [Unread, Unread]
    assert vars(read["hyper_parameters"]["args"]) == {}
    assert set(torch.serialization.get_safe_globals()) == allowed  # a set of torch's, listed in no order


class Call:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(("function", "named"), [(os.system, "system"), (eval, "eval"), (exec, "exec")])
def test_a_file_with_an_attack_is_refused_and_not_run(tmp_path: Path, zipped: bool, function: Any, named: str) -> None:
    path, mark = tmp_path / "evil.ckpt", tmp_path / "executed"
    code = f"touch {mark}" if function is os.system else f"open({str(mark)!r}, 'w')"
    torch.save({"state_dict": {}, "x": Call(function, code)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=rf"cannot be read without executing code in it \(it refers to .*{named}\)"):
        read_checkpoint(path)
    path.write_bytes(pickle.dumps(Call(function, code), protocol=2))
    with pytest.raises(UserError) as refused:
        read_checkpoint(path)
    assert not mark.exists() and "weights_only" not in str(refused.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_no_function_of_a_setting_is_called(tmp_path: Path, zipped: bool) -> None:
    path, mark = tmp_path / "theirs.ckpt", tmp_path / "executed"
    content = {"state_dict": {"a": torch.ones(2)}, "made": Call(numpy.save, str(mark), 1)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    read = read_checkpoint(path)
    assert torch.equal(read["state_dict"]["a"], torch.ones(2)) and isinstance(read["made"], Unread)
    assert not mark.with_suffix(".npy").exists() and not mark.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_what_is_no_state_dict_or_damaged_says_so_without_torchs_advice(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "w.pth"

    def refused() -> str:
        with pytest.raises(UserError) as error:
            read_checkpoint(path)
        assert not any(word in str(error.value) for word in ("weights_only", "add_safe_globals", "trust the source"))
        return str(error.value)

    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)), path, _use_new_zipfile_serialization=zipped)
    assert "holds a whole network as an object" in refused()
    torch.save([1, 2], path, _use_new_zipfile_serialization=zipped)
    assert "holds a list; expected a state dict" in refused()
    torch.save({"a": torch.ones(500)}, path, pickle_protocol=4, _use_new_zipfile_serialization=zipped)
    assert "pickled otherwise" in refused()
    torch.save({"a": torch.ones(500)}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for length in (10, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:length])
        assert any(words in refused() for words in ("is cut short or damaged", "is not a checkpoint"))


def test_safetensors_are_read(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "encoder.bin"  # whatever its name is
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    assert match(read_checkpoint(path), network, "auto").whole
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="is cut short or damaged"):
        read_checkpoint(path)

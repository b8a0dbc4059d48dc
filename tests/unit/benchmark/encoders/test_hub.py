"""Models' folders, and the hub's cache on this machine."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file

from benchmark.encoders.hub import fetched, is_model_folder, read_foreign
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = {"a": torch.ones(2), "b": torch.zeros(3)}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_model_is_read_from_one_file_or_from_its_parts(tmp_path: Path) -> None:
    assert not is_model_folder(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"has none of model\.safetensors, pytorch_model\.bin"):
        read_foreign(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    names = {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}
    index.write_text(json.dumps({"weight_map": names}))
    for name, file in names.items():
        save_file({name: WEIGHTS[name]}, tmp_path / file)
    assert is_model_folder(tmp_path) and read_foreign(tmp_path).keys() == {"a", "b"}
    index.write_text("{}")
    with pytest.raises(UserError, match=r"index\.json: does not say in which files"):
        read_foreign(tmp_path)
    index.unlink()
    torch.save({"a": torch.zeros(2)}, tmp_path / "pytorch_model.bin")
    assert not read_foreign(tmp_path)["a"].any()
    save_file(WEIGHTS, tmp_path / "model.safetensors")  # goes before a pickle
    assert read_foreign(tmp_path)["a"].all()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache with one model in it; the network is not to be asked."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    model = tmp_path / "models--org--tiny"
    snapshot = model / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(COMMIT)
    (snapshot / "config.json").write_text("{}")
    save_file(WEIGHTS, snapshot / "model.safetensors")
    return tmp_path


def test_a_model_in_the_cache_is_found_without_asking_the_hub(cache: Path) -> None:
    for address in ("hf://org/tiny", "hf://org/tiny/", "hf://org/tiny@main", f"hf://org/tiny@{COMMIT}"):
        folder = fetched(address, download=False)
        assert folder.name == COMMIT and read_foreign(folder).keys() == {"a", "b"}


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://org/other", "hf://org/other: is not in the local cache; --download fetches it from the hub"),
        ("hf://org/tiny@v2", "hf://org/tiny@v2: is not in the local cache"),
        ("hf://", "'hf://' is no model of the hub; expected hf://ORGANISATION/NAME"),
        ("hf://a/b/c", "'hf://a/b/c' is no model of the hub"),
        ("hf://a b/c", "'hf://a b/c' is no name of a model"),
    ],
)
def test_what_is_not_there_says_how_to_get_it(cache: Path, address: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        fetched(address, download=False)
    assert str(refused.value).startswith(message)


def test_a_model_without_weights_is_refused(cache: Path) -> None:
    (cache / "models--org--tiny" / "snapshots" / COMMIT / "model.safetensors").unlink()
    with pytest.raises(
        UserError, match=r"hf://org/tiny: holds no config\.json with model\.safetensors or pytorch_model"
    ):
        fetched("hf://org/tiny", download=False)

"""Folders as Hugging Face keeps models (`config.json` beside the weights), on this machine or fetched from the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.files.disk import read_json

HUB = "hf://"
CONFIG = "config.json"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_WANTED = [
    CONFIG,
    *_WEIGHTS,
    *(f"{name}.index.json" for name in _WEIGHTS),
    "model-*.safetensors",
    "pytorch_model-*.bin",
]


def is_model_folder(folder: Path) -> bool:
    """Whether a folder holds a model as transformers and timm save it."""
    return (folder / CONFIG).is_file() and bool(_weights_of(folder))


def no_model_because(folder: Path) -> str:
    """What a folder lacks that is no model's, in words."""
    weights = [name for name in _WEIGHTS if (folder / name).is_file() or (folder / f"{name}.index.json").is_file()]
    if weights:
        return f"holds {weights[0]} without {CONFIG}; give the file itself with --backbone NAME, or add {CONFIG}"
    if (folder / CONFIG).is_file():
        return f"holds {CONFIG} with none of {', '.join(_WEIGHTS)}"
    return f"holds neither runs (record.json) nor a model ({CONFIG} with {' or '.join(_WEIGHTS)})"


def _weights_of(folder: Path) -> list[Path]:
    """The files of a model's weights: one, or the parts that an index names; safetensors before pickles."""
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            try:
                parts = read_json(index)["weight_map"].values()
                return [folder / part for part in sorted(set(parts))]
            except (UserError, KeyError, AttributeError, TypeError):
                raise UserError(f"{index}: does not say in which files the weights are (weight_map)") from None
    return []


def read_foreign(path: Path) -> dict[str, Any]:
    """The content of a checkpoint: a file, or all parts of a model's folder.

    Raises:
        UserError: as `read_checkpoint`; or the folder has no weights.
    """
    from benchmark.encoders.read import read_checkpoint  # torch, which only reading needs

    if not path.is_dir():
        return read_checkpoint(path)
    files = _weights_of(path)
    if not files:
        raise UserError(f"{path}: has none of {', '.join(_WEIGHTS)}; expected a model's folder or a checkpoint file")
    return {name: value for file in files for name, value in read_checkpoint(file).items()}


def fetched(address: str, *, download: bool) -> Path:
    """The local folder of a model of the hub, such as `hf://org/name` or `hf://org/name@revision`.

    Args:
        download: ask the hub; otherwise only models that were fetched before are found, and nothing is asked.

    Raises:
        UserError: it is not an address, not in the cache, or cannot be fetched.
    """
    name, _, revision = address.removeprefix(HUB).strip("/").partition("@")
    if name.count("/") > 1 or not name:
        raise UserError(
            f"'{address}' is no model of the hub; expected {HUB}ORGANISATION/NAME, with @REVISION if need be"
        )
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError:
        raise UserError(f"{address}: needs huggingface_hub (pip install 'cnn-jepa-bench[hub]')") from None
    try:
        folder = Path(
            snapshot_download(name, revision=revision or None, allow_patterns=_WANTED, local_files_only=not download)
        )
    except LocalEntryNotFoundError:
        how = "could not be fetched: the hub was not reached" if download else "is not in the local cache"
        advice = "" if download else "; --download fetches it from the hub"
        raise UserError(f"{address}: {how}{advice}") from None
    except HFValidationError:
        raise UserError(f"'{address}' is no name of a model; expected {HUB}ORGANISATION/NAME") from None
    except (HfHubHTTPError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{address}: could not be fetched ({reason})") from None
    if not is_model_folder(folder):
        raise UserError(f"{address}: holds no {CONFIG} with {' or '.join(_WEIGHTS)}")
    return folder

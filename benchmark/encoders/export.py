"""Exports an encoder under the parameter names of timm or torchvision, or as an ONNX graph."""

from __future__ import annotations

import json
import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError
from benchmark.files.disk import reading, write_atomically, writing
from benchmark.records.folder import read_record
from methods.config import nearest

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.encoders.snippets import Recipe
    from methods.base import Encoder

TARGETS = ("timm", "torchvision", "onnx")
_log = logging.getLogger(__name__)
_FOLDER = ("config.json", "model.safetensors")
_ONNX = ("onnx", "onnxscript")
_RESIZED_ABOVE = 96
"""Larger images are probed as the middle of 256/224 of their size, smaller ones whole."""


def export(run: Path, target: str, out: Path) -> str:
    """Writes the primary encoder of a run (its folder or record) in another library's format.

    Args:
        out: the file to write. For `timm` a name without a suffix is a folder, which `timm.create_model` opens.

    Returns:
        The code that loads it, with the normalisation that it expects.

    Raises:
        UserError: there is no such run, it left no encoder, the target knows no such network, or the folder to write
            holds other things than an earlier export.
    """
    if target not in TARGETS:
        raise UserError(f"--to is '{target}'; {nearest(target, TARGETS)}")
    path = run if run.is_file() else run / "record.json"
    if not path.is_file():
        raise UserError(f"{run}: is not a run's folder; expected one with record.json in it")
    try:
        record = read_record(path)
    except ValueError as error:
        raise UserError(str(error)) from None
    if record.metrics is None:
        raise UserError(f"{path}: the run is {record.status}; it left no encoder")
    if target == "onnx":
        _check_onnx()
    from benchmark.encoders import snippets
    from benchmark.training.checkpoint import load_encoder

    encoder = load_encoder(path.parent, record)
    spec, size = encoder.backbone.spec, int(record.config["image_size"])
    if target == "onnx":
        _write_onnx(encoder, size, out)
        return snippets.onnx_code(out.name, size)
    if target == "torchvision":
        recipe = snippets.torchvision_recipe(spec)
        _write_tensors(encoder, size, out)
        return snippets.code("torchvision", recipe, out.name)
    recipe = snippets.timm_recipe(spec, size)
    if out.suffix and not out.is_dir():
        _write_tensors(encoder, size, out)
        return snippets.code("timm", recipe, out.name)
    if recipe.changes:
        raise UserError(
            f"{out}: timm makes no {spec.name} with a small stem or another width from a config.json; "
            "give --out a name such as encoder.safetensors, and the code that is printed changes the network"
        )
    replaced = _check_folder(out)
    config, weights = _FOLDER
    _write_tensors(encoder, size, out / weights)
    _write_config(recipe, encoder, size, out / config)
    if replaced:
        _log.warning("%s: held an earlier export, which was replaced", out)
    return snippets.folder_code(str(out))


def _check_folder(out: Path) -> bool:
    """Whether a folder holds an earlier export; refuses one that holds anything else."""
    if not out.is_dir():
        return False
    with reading(out):
        names = sorted(path.name for path in out.iterdir())
    others = [name for name in names if name not in _FOLDER]
    if others or (names and not _is_ours(out / _FOLDER[1])):
        found = f"{', '.join((others or names)[:3])}{', ...' if len(others or names) > 3 else ''}"
        raise UserError(f"{out}: holds what bench export did not write ({found}); give --out a new or empty folder")
    return bool(names)


def _is_ours(weights: Path) -> bool:
    """Whether a file of weights is an export, which says its normalisation; others' files do not."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, "pt") as file:
            return {"mean", "std", "input_size"} <= (file.metadata() or {}).keys()
    except (OSError, SafetensorError):
        return False


def _normalisation(size: int) -> dict[str, Any]:
    from benchmark.data.datasets import IMAGENET_MEAN, IMAGENET_STD

    return {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD), "input_size": [3, size, size]}


def _write_tensors(encoder: Encoder, size: int, out: Path) -> None:
    """The weights, with the normalisation in the file's metadata."""
    from safetensors.torch import save

    tensors = {name: tensor.contiguous() for name, tensor in encoder.backbone.net.state_dict().items()}
    metadata = {"format": "pt", **{name: json.dumps(value) for name, value in _normalisation(size).items()}}
    with writing(out):
        write_atomically(out, save(tensors, metadata))


def _write_config(recipe: Recipe, encoder: Encoder, size: int, out: Path) -> None:
    """What `timm.create_model('local-dir:...')` reads."""
    vit = encoder.backbone.spec.kind == "vit"
    config = {
        "architecture": recipe.name,
        "num_classes": 0,
        "num_features": encoder.backbone.dimension,
        "model_args": recipe.options,
        "pretrained_cfg": {
            **_normalisation(size),
            "interpolation": "bilinear",
            "crop_pct": 1.0 if size <= _RESIZED_ABOVE else 224 / 256,
            "fixed_input_size": vit,
            "num_classes": 0,
            "first_conv": "patch_embed.proj" if vit else "stem.0" if "convnext" in recipe.name else "conv1",
        },
    }
    with writing(out):
        write_atomically(out, json.dumps(config, indent=2) + "\n")


def _check_onnx() -> None:
    missing = [name for name in _ONNX if find_spec(name) is None]
    if missing:
        raise UserError(f"--to onnx needs {' and '.join(missing)} (pip install 'cnn-jepa-bench[onnx]')")


def _write_onnx(encoder: Encoder, size: int, out: Path) -> None:
    """The graph from normalised images to features, with the normalisation in its metadata."""
    import torch

    # In two steps: given the module, the second would rather fix the number of images than fail.
    batch = {"images": {0: torch.export.Dim("batch")}}
    exported = torch.export.export(encoder, (torch.zeros(2, 3, size, size),), dynamic_shapes=batch)
    names = {"input_names": ["images"], "output_names": ["features"]}
    program = torch.onnx.export(exported, (), **names, dynamo=True, verbose=False)  # type: ignore[arg-type]
    assert program is not None
    model = program.model_proto
    for name, value in _normalisation(size).items():
        model.metadata_props.add(key=name, value=json.dumps(value))
    with writing(out):
        write_atomically(out, model.SerializeToString())

"""Exports an encoder under the parameter names of timm or torchvision, or as an ONNX graph."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from benchmark.errors import UserError
from benchmark.files import write_atomically, writing
from benchmark.records.folder import read_record
from methods.config import nearest

if TYPE_CHECKING:
    from pathlib import Path

    from methods.backbone_spec import BackboneSpec
    from methods.base import Encoder

TARGETS = ("timm", "torchvision", "onnx")
_ONNX = ("onnx", "onnxscript")


def export(run: Path, target: str, out: Path) -> str:
    """Writes the primary encoder of a run (its folder or record) in another library's format.

    Returns:
        The code that loads the file.

    Raises:
        UserError: there is no such run, it left no encoder, or the target knows no such network.
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
    from safetensors.torch import save

    from benchmark.training.checkpoint import load_encoder

    encoder = load_encoder(path.parent, record)
    spec, size = encoder.backbone.spec, int(record.config["image_size"])
    if target == "onnx":
        _write_onnx(encoder, size, out)
        return f"onnxruntime.InferenceSession('{out.name}'): images (N, 3, {size}, {size}) to features"
    hint = _timm_call(spec, size) if target == "timm" else _torchvision_call(spec)
    tensors = {name: tensor.contiguous() for name, tensor in encoder.backbone.net.state_dict().items()}
    with writing(out):
        write_atomically(out, save(tensors))
    return f"{hint}.load_state_dict(safetensors.torch.load_file('{out.name}'), strict=False)"


def _check_standard(spec: BackboneSpec, library: str) -> None:
    if spec.stem != "imagenet" or spec.width not in (None, 64):
        raise UserError(
            f"{library} has no {spec.name} with a small stem or another width; use --to onnx, which takes any network"
        )


def _timm_call(spec: BackboneSpec, size: int) -> str:
    if spec.kind == "vit":
        if spec.width is not None or spec.depth is not None:
            raise UserError(
                f"timm has no {spec.name} of another width or depth; use --to onnx, which takes any network"
            )
        pool = "token" if spec.class_token == "features" else "avg"
        options = (
            f"img_size={size}, patch_size={spec.patch_size or 16}, class_token={spec.class_token is not None}, "
            f"global_pool='{pool}', fc_norm=False, num_classes=0{f', num_heads={spec.heads}' if spec.heads else ''}"
        )
        return f"timm.create_model('{spec.name}_patch16_224', {options})"
    _check_standard(spec, "timm")
    return f"timm.create_model('{spec.name}', num_classes=0)"


def _torchvision_call(spec: BackboneSpec) -> str:
    if not spec.name.startswith(("resnet", "wide_resnet")):
        raise UserError(f"torchvision names the parameters of {spec.name} differently; use --to timm or --to onnx")
    _check_standard(spec, "torchvision")
    return f"torchvision.models.{spec.name}()"


def _write_onnx(encoder: Encoder, size: int, out: Path) -> None:
    missing = [name for name in _ONNX if find_spec(name) is None]
    if missing:
        raise UserError(f"--to onnx needs {' and '.join(missing)} (pip install 'cnn-jepa-bench[onnx]')")
    import torch

    # In two steps: given the module, the second would rather fix the number of images than fail.
    batch = {"images": {0: torch.export.Dim("batch")}}
    exported = torch.export.export(encoder, (torch.zeros(2, 3, size, size),), dynamic_shapes=batch)
    names = {"input_names": ["images"], "output_names": ["features"]}
    program = torch.onnx.export(exported, (), **names, dynamo=True, verbose=False)  # type: ignore[arg-type]
    assert program is not None
    with writing(out):
        write_atomically(out, program.model_proto.SerializeToString())

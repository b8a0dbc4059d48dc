"""Scores encoders that were trained elsewhere by the protocols of our own runs; their training cost is unknown."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmark.encoders.hub import read_foreign
from benchmark.encoders.match import Match, match
from benchmark.encoders.traits import vit_traits
from benchmark.errors import UserError
from benchmark.evaluation.collapse import narrowness
from benchmark.evaluation.evaluate import scored, spread
from benchmark.evaluation.features import NonFiniteError
from benchmark.evaluation.protocols import PROTOCOLS
from benchmark.evaluation.subject import FrozenSubject, probe_data
from benchmark.files.disk import write_atomically, writing
from benchmark.files.parse import dump_yaml
from benchmark.machine.devices import take_device
from benchmark.machine.environment import describe, now
from benchmark.randomness import seeded
from benchmark.records.folder import read_record, run_folder, write_record
from benchmark.records.keys import EXTERNAL, weights_key
from benchmark.records.schema import RULES_VERSION, Metrics, Record
from benchmark.training.checkpoint import export_encoder
from methods.backbone_build import build_backbone
from methods.backbones import Backbone, BackboneSpec, use_plain_attention
from methods.base import Encoder, EncoderInfo
from methods.config import plain

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from benchmark.data.datasets import Dataset
    from benchmark.data.spec import DatasetSpec
    from benchmark.encoders.formats import Foreign
    from benchmark.encoders.probe import Listener

EXPERIMENT = "evaluated"
MOCO_V3_SMALL_HEADS = 12
"""Attention heads of MoCo v3's ViT-S (its `vits.py`); other ViT-S have 6. The weights have the same shapes."""


def evaluate_foreign(
    foreign: Foreign, dataset: Dataset, spec: DatasetSpec, out: Path, device: str, listener: Listener, *, share: bool
) -> Path:
    """Scores a checkpoint's encoder on a dataset; returns the file of a record like a run's, without a ledger.

    Args:
        share: use the device beside another process.

    Raises:
        UserError: the weights do not fit, or cannot be read without executing code.
    """
    foreign, backbone, matched = _load(foreign, dataset.image_size, listener)
    info = EncoderInfo("online", backbone.pooling, backbone.dimension)
    encoder = Encoder(backbone, info).requires_grad_(False).eval()
    config = _config(foreign, dataset, spec, partial=matched.untrained)
    key = _key(encoder, config, dataset)
    folder = run_folder(out, EXPERIMENT, foreign.name, 0, key)
    path = folder / "record.json"
    if path.is_file():
        try:
            earlier = read_record(path)
        except ValueError as error:
            raise UserError(f"{error}; remove {folder} to score it anew") from None
        listener.say(f"{folder}: there already, linear {_linear(earlier):.1f}%")
        return path
    with take_device(device, share=share) as (taken, _):
        record = _record(foreign, encoder, dataset, config, key, taken)
    with writing(folder):
        write_atomically(folder / "config.yaml", dump_yaml(config))
        export_encoder(folder, encoder)
        write_record(folder, record)
    listener.say(f"{foreign.name} on {dataset.name}: linear {_linear(record):.1f}%")
    if record.message:
        listener.say(f"{foreign.name}: {record.message}; it is not ranked")
    return path


def _load(foreign: Foreign, image_size: int, listener: Listener) -> tuple[Foreign, Backbone, Match]:
    """Reads a checkpoint: with the backbone recognised, the network with its weights, and how they matched."""
    given = foreign.backbone
    foreign, backbone, matched = recognise(foreign, read_foreign(foreign.path), image_size)
    listener.say(f"{foreign.path}: {matched.report()}")
    if foreign.backbone.kind == "vit":
        heads = backbone.net.blocks[0].attn.num_heads
        design = f"{foreign.backbone.design}; " if foreign.backbone.design else ""
        listener.say(f"{foreign.path}: {design}{heads} heads; features: {backbone.pooling}")
    if foreign.kind == "solo-learn" and foreign.backbone.stem == "small":
        listener.say(f"{foreign.path}: solo-learn's networks for CIFAR pad by 2; for one of them, set stem=small_pad2")
    if not matched.whole and not foreign.allow_partial:
        raise UserError(
            f"{foreign.path}: does not fit {foreign.backbone.name}: {matched.report()}; "
            f"{_advice(given, matched)} (--allow-partial loads the weights that fit)"
        )
    backbone.net.load_state_dict(matched.weights, strict=False)
    return foreign, backbone, matched


def _advice(given: BackboneSpec, matched: Match) -> str:
    """What to try where weights do not fit the backbone that was given."""
    if matched.patch_size is None:
        return "is it another backbone, stem or format?"
    settings = {**given.model_dump(exclude_unset=True, exclude={"name"}), "patch_size": matched.patch_size}
    words = [given.name, *(f"{name}={value}" for name, value in settings.items() if value is not None)]
    return f"its patches are of {matched.patch_size} px: --backbone {','.join(words)}"


def recognise(foreign: Foreign, content: dict[str, Any], image_size: int) -> tuple[Foreign, Backbone, Match]:
    """Completes the backbone's settings from the file where the user left them open: class token, MoCo v3's heads.

    Returns:
        The checkpoint with its complete backbone, the network with fresh weights, and the weights found in the file's
        content.

    Raises:
        UserError: the backbone does not fit the input size, the file holds no encoder of the format, or the encoder
            has weights that are NaN or infinite.
    """
    spec = foreign.backbone
    if spec.kind == "vit" and (traits := vit_traits(content)):
        given = spec.model_fields_set
        if "class_token" not in given or spec.class_token is not None:
            spec = _with(spec, **{name: value for name, value in traits.items() if name not in given})
    backbone = _build(spec, image_size)
    try:
        matched = match(content, backbone.net, foreign.kind, foreign.prefix)
    except UserError as error:
        raise UserError(f"{foreign.path}: {error}") from None
    _check_finite(matched, foreign.path)
    moco = foreign.kind == "moco" or matched.prefix.endswith("base_encoder.")
    if moco and spec.name == "vit_small" and backbone.dimension == 384 and spec.heads is None:
        spec = _with(spec, heads=MOCO_V3_SMALL_HEADS)
        backbone = _build(spec, image_size)
    return replace(foreign, backbone=spec), backbone, matched


def _check_finite(matched: Match, path: Path) -> None:
    for name, tensor in matched.weights.items():
        if bad := int((~tensor.isfinite()).sum()):
            raise UserError(
                f"{path}: {bad} of the {tensor.numel()} values of {matched.prefix}{name} are NaN or infinite; "
                "such an encoder has no features"
            )


def _with(spec: BackboneSpec, **settings: Any) -> BackboneSpec:
    return BackboneSpec.model_validate({**spec.model_dump(exclude_unset=True), **settings})


def _build(spec: BackboneSpec, image_size: int) -> Backbone:
    try:
        with seeded(0, "foreign"):  # for the weights that a partial checkpoint lacks
            return build_backbone(spec, image_size)
    except ValueError as error:
        raise UserError(f"--backbone {spec.name}: {error}") from None


def _linear(record: Record) -> float:
    return record.metrics.scores.linear_top1 if record.metrics else float("nan")


def _config(foreign: Foreign, dataset: Dataset, spec: DatasetSpec, *, partial: bool) -> dict[str, Any]:
    return {
        "experiment": EXPERIMENT,
        "description": "encoders trained elsewhere",
        "entry": {"name": foreign.name, "method": EXTERNAL},
        "tags": ["trained elsewhere", *(["partly untrained"] if partial else [])],
        "format": foreign.kind,
        "backbone": plain(foreign.backbone),
        "dataset": plain(spec),
        "image_size": dataset.image_size,
        "budget": {},
        "precision": "32",
        "evaluation": {"protocols": list(PROTOCOLS)},
        "seed": 0,
    }


def _key(encoder: Encoder, config: dict[str, Any], dataset: Dataset) -> str:
    """Hash of the weights and of everything else that can change the scores, but not of the file's name or format."""
    weights = (
        (name, tensor.detach().cpu().contiguous().flatten().numpy().tobytes())
        for name, tensor in sorted(encoder.backbone.net.state_dict().items())
    )
    return weights_key(weights, config, RULES_VERSION, dataset.manifest.digest)


def _record(
    foreign: Foreign, encoder: Encoder, dataset: Dataset, config: dict[str, Any], key: str, device: torch.device
) -> Record:
    started = now()
    encoder.to(device)
    if device.type == "cpu":
        use_plain_attention(encoder)
    subject = FrozenSubject(encoder=encoder, data=probe_data(dataset, dataset.image_size), device=device)
    try:
        scores = scored(subject)
        narrow = narrowness(spread(subject))
    except NonFiniteError as error:
        raise UserError(f"{foreign.path}: {error}") from None
    return Record(
        key=key,
        experiment=EXPERIMENT,
        entry=foreign.name,
        method=EXTERNAL,
        backbone=foreign.backbone.name,
        seed=0,
        status="collapsed" if narrow else "completed",
        message=f"features collapsed: {narrow}" if narrow else None,
        config=config,
        dataset=dataset.record(),
        environment=describe(device, 1),
        ledger=None,
        metrics=Metrics(
            primary="online",
            encoders={"online": scores},
            final_loss=None,
            backbone_parameters=sum(parameter.numel() for parameter in encoder.backbone.net.parameters()),
            trainable_parameters=0,
        ),
        started=started,
        ended=now(),
    )

"""Encoders that were trained elsewhere, through the frozen protocols: scored like ours, their cost unknown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import yaml

from benchmark.encoders.formats import FORMATS
from benchmark.encoders.match import Match, has_class_token, match
from benchmark.encoders.read import read_checkpoint
from benchmark.errors import UserError
from benchmark.evaluation.evaluate import evaluate
from benchmark.evaluation.protocols import PROTOCOLS
from benchmark.evaluation.subject import probe_data
from benchmark.experiment.spec import check_name
from benchmark.files import write_atomically
from benchmark.machine.devices import take_device
from benchmark.machine.environment import describe, now
from benchmark.randomness import seeded
from benchmark.records.folder import read_record, run_folder, write_record
from benchmark.records.keys import EXTERNAL, weights_key
from benchmark.records.schema import RULES_VERSION, Metrics, Record
from benchmark.training.checkpoint import export_encoder
from methods.backbones import Backbone, BackboneSpec, build_backbone, use_plain_attention
from methods.base import Encoder, EncoderInfo
from methods.config import nearest, plain

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from benchmark.data.datasets import Dataset, DatasetSpec
    from benchmark.encoders.probe import Listener

EXPERIMENT, METHOD, TAG = "evaluated", EXTERNAL, "trained elsewhere"
MOCO_V3_SMALL_HEADS = 12
"""Of MoCo v3's ViT-S (its `vits.py`), where everybody else's has 6. The shapes of the weights do not tell."""


@dataclass(frozen=True)
class Foreign:
    """A checkpoint, and what is known of it.

    Attributes:
        path: of the file.
        backbone: the network it is of.
        name: of its row; the file's by default.
        kind: one of `FORMATS`.
        prefix: what stands before the network's names, where the user knows it.
        allow_partial: go on though something is missing or left over.
    """

    path: Path
    backbone: BackboneSpec
    name: str
    kind: str = "auto"
    prefix: str | None = None
    allow_partial: bool = False

    def __post_init__(self) -> None:
        if self.kind not in FORMATS:
            raise UserError(f"--format is '{self.kind}'; {nearest(self.kind, FORMATS)}")
        try:
            check_name(self.name)
        except ValueError as error:
            raise UserError(f"--name: {error}") from None


def evaluate_foreign(
    foreign: Foreign, dataset: Dataset, spec: DatasetSpec, out: Path, device: str, reporter: Listener, *, share: bool
) -> Path:
    """Scores a checkpoint's encoder on a dataset, and writes a record as a run would leave it, without a ledger.

    Args:
        foreign: the checkpoint.
        dataset: to probe on.
        spec: how that was asked for.
        out: the results folder.
        device: as for `choose_device`.
        reporter: is told what matched.
        share: use the device beside another process.

    Returns:
        The record's file.

    Raises:
        UserError: the weights do not fit, or cannot be read without executing code.
    """
    content = read_checkpoint(foreign.path)
    foreign, backbone, found = recognise(foreign, content, dataset.image_size)
    reporter.say(f"{foreign.path}: {found.report()}")
    if foreign.backbone.kind == "vit":
        reporter.say(f"{foreign.path}: {_heads(backbone)} heads; features: {backbone.pooling}")
    if foreign.kind == "solo-learn" and foreign.backbone.stem == "small":
        reporter.say(f"{foreign.path}: a network of solo-learn's for CIFAR pads by 2, which is stem=small_pad2")
    if not found.whole and not foreign.allow_partial:
        raise UserError(
            f"{foreign.path}: does not fit {foreign.backbone.name}: {found.report()}; "
            "is it another backbone, stem or format? (--allow-partial goes on)"
        )
    backbone.net.load_state_dict(found.weights, strict=False)
    encoder = (
        Encoder(backbone, EncoderInfo("online", backbone.pooling, backbone.dimension)).requires_grad_(False).eval()
    )
    config = _config(foreign, dataset, spec, partial=not found.whole)
    key = _key(encoder, config, dataset)
    folder = run_folder(out, EXPERIMENT, foreign.name, 0, key)
    path = folder / "record.json"
    if path.is_file():
        try:
            before = read_record(path)
        except ValueError as error:
            raise UserError(f"{error}; remove {folder} to score it anew") from None
        reporter.say(f"{folder}: there already, linear {_linear(before):.1f}%")
        return path
    with take_device(device, share=share) as (where, _):
        record = _record(foreign, encoder, dataset, config, key, where)
    try:
        write_atomically(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False))
        export_encoder(folder, encoder)
        write_record(folder, record)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from None
    reporter.say(f"{foreign.name} on {dataset.name}: linear {_linear(record):.1f}%")
    return path


def recognise(foreign: Foreign, content: dict[str, Any], image_size: int) -> tuple[Foreign, Backbone, Match]:
    """Settles what the file tells of its network, where the user does not: a class token, and MoCo v3's heads.

    Args:
        foreign: the checkpoint.
        content: of its file.
        image_size: of the images that it is to be probed on.

    Returns:
        The checkpoint with the backbone that it is of, that backbone with fresh weights, and the weights found for it.

    Raises:
        UserError: the backbone does not fit the input size, or the file holds no encoder of the format.
    """
    spec = foreign.backbone
    if spec.kind == "vit" and "class_token" not in spec.model_fields_set and has_class_token(content):
        spec = _with(spec, class_token="features")
    backbone = _build(spec, image_size)
    try:
        found = match(content, backbone.net, foreign.kind, foreign.prefix)
    except UserError as error:
        raise UserError(f"{foreign.path}: {error}") from None
    moco = foreign.kind == "moco" or found.prefix.endswith("base_encoder.")
    if moco and spec.name == "vit_small" and backbone.dimension == 384 and spec.heads is None:
        spec = _with(spec, heads=MOCO_V3_SMALL_HEADS)
        backbone = _build(spec, image_size)
    return replace(foreign, backbone=spec), backbone, found


def _with(spec: BackboneSpec, **settings: Any) -> BackboneSpec:
    return BackboneSpec.model_validate({**spec.model_dump(exclude_unset=True), **settings})


def _build(spec: BackboneSpec, image_size: int) -> Backbone:
    try:
        with seeded(0, "foreign"):  # what a partial checkpoint leaves out
            return build_backbone(spec, image_size)
    except ValueError as error:
        raise UserError(f"--backbone {spec.name}: {error}") from None


def _heads(backbone: Backbone) -> int:
    return int(backbone.net.blocks[0].attn.num_heads)


def _linear(record: Record) -> float:
    return record.metrics.scores.linear_top1 if record.metrics else float("nan")


def _config(foreign: Foreign, dataset: Dataset, spec: DatasetSpec, *, partial: bool) -> dict[str, Any]:
    return {
        "experiment": EXPERIMENT,
        "description": "encoders trained elsewhere",
        "entry": {"name": foreign.name, "method": METHOD},
        "tags": [TAG, *(["partly untrained"] if partial else [])],
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
    """Hash of the weights and of everything else that can change the scores; not of the file's name or format."""
    weights = (
        (name, tensor.detach().cpu().contiguous().flatten().numpy().tobytes())
        for name, tensor in sorted(encoder.backbone.net.state_dict().items())
    )
    return weights_key(weights, config, RULES_VERSION, dataset.manifest.digest)


def _record(
    foreign: Foreign, encoder: Encoder, dataset: Dataset, config: dict[str, Any], key: str, device: torch.device
) -> Record:
    started = now()
    moved = encoder.to(device)
    if device.type == "cpu":
        use_plain_attention(moved)
    scores = evaluate(moved, probe_data(dataset, dataset.image_size), "test", device)
    return Record(
        key=key,
        experiment=EXPERIMENT,
        entry=foreign.name,
        method=METHOD,
        backbone=foreign.backbone.name,
        seed=0,
        status="completed",
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

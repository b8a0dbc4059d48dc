"""What others published of CNN-JEPA's costs on ImageNet-100. Never mixed with our numbers; each has its source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.analysis.comparability import is_vit

if TYPE_CHECKING:
    from benchmark.records.schema import Record

REPOSITORY = (
    "CNN-JEPA's repository (kaland313/CNN-JEPA at f1b8135, WandbPlots.ipynb, cost figure; the repository of arXiv "
    "2408.07514)"
)
REPOSITORY_MEANS = (
    "ImageNet-100 at 224 px on 4 GPUs whose model is not stated, one run each. The hours are those of one reference "
    "run's epoch times the epochs times 4; they hold everything, a probe every five epochs included, and not all runs "
    "had the same kind of node. The accuracy is the best of 90 probe epochs on the validation split. CNN-JEPA "
    "computed its masked encoder densely there."
)
DESCRIPTION = "an explanatory text about CNN-JEPA (“CNN-JEPA: Detailed Explanation”), without a source of its own"


@dataclass(frozen=True)
class PublishedRun:
    """One published training on ImageNet-100.

    Attributes:
        method: as this project names it.
        backbone: as published.
        vit: whether that is a vision transformer.
        epochs: of training; None where it is not said.
        device_hours: of the whole job; None where only a ratio is given.
        ratio: time relative to CNN-JEPA's on the ResNet-50 of the same source.
        linear_top1: in percent.
        source: whose number it is.
    """

    method: str
    backbone: str
    vit: bool
    epochs: int | None
    device_hours: float | None
    ratio: float
    linear_top1: float
    source: str


_BASE = 51.515  # GPU-hours of CNN-JEPA on the ResNet-50
EPOCHS = 200  # that they are for


def _counted(method: str, backbone: str, epochs: int, device_hours: float, linear_top1: float) -> PublishedRun:
    vit = backbone.startswith("ViT")
    return PublishedRun(method, backbone, vit, epochs, device_hours, device_hours / _BASE, linear_top1, REPOSITORY)


def _described(method: str, backbone: str, ratio: float, linear_top1: float) -> PublishedRun:
    return PublishedRun(method, backbone, backbone.startswith("ViT"), None, None, ratio, linear_top1, DESCRIPTION)


PUBLISHED = (
    _counted("ijepa", "ViT-S/14", 299, 37.257, 42.30),
    _counted("ijepa", "ViT-B/14", 299, 51.505, 46.36),
    _counted("cnn_jepa", "ResNet-50", 200, _BASE, 73.26),
    _counted("simclr", "ResNet-50", 200, 61.994, 76.20),
    _counted("cnn_jepa", "WideResNet-50-2", 200, 63.739, 76.14),
    _counted("vicreg", "ResNet-50", 200, 67.634, 74.18),
    _counted("byol", "ResNet-50", 200, 79.291, 79.02),
    _described("cnn_jepa", "ResNet-50", 1.0, 73.3),
    _described("ijepa", "ViT-B", 1.2, 71.5),
    _described("byol", "ResNet-50", 1.35, 72.8),
    _described("simclr", "ResNet-50", 1.2, 71.2),
    _described("vicreg", "ResNet-50", 1.17, 72.1),
)


def published_of(record: Record, source: str) -> list[PublishedRun]:
    """What a source says of the record's method on a network of the same family (CNN or ViT).

    CNN-JEPA's own rows are those with the masked-dense encoder, as in the source; the wider network is left out.
    """
    if record.method == "cnn_jepa" and encoder_of(record) != "masked_dense":
        return []
    return [
        run
        for run in PUBLISHED
        if (run.method, run.vit, run.source) == (record.method, is_vit(record), source)
        and not run.backbone.startswith("Wide")
    ]


def encoder_of(record: Record) -> str:
    """How a run of CNN-JEPA computed its context encoder: `sparse` or `masked_dense`; empty if it does not say."""
    settings = record.config.get("method")
    return str(settings.get("encoder", "")) if isinstance(settings, dict) else ""


def on_published_axes(record: Record) -> bool:
    """Whether a run stands on the axes of the published figure: ImageNet-100 at 224 px, counted in device-hours."""
    name = record.dataset.name.lower().replace("-", "").replace("_", "")
    return name in ("imagenet100", "in100") and record.config.get("image_size") == 224

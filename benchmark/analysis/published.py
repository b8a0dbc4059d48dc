"""Training costs and accuracies that others published on ImageNet-100: `published.yaml`, read and typed.

They are never mixed with this project's numbers, and each names its source.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from benchmark.analysis.comparability import is_vit
from benchmark.files.disk import read_yaml

if TYPE_CHECKING:
    from benchmark.records.schema import Record

REPOSITORY, DESCRIPTION = "repository", "description"  # the sources' names in the file
_FILE = Path(__file__).with_name("published.yaml")


class PublishedRun(BaseModel):
    """One published training on ImageNet-100.

    Attributes:
        epochs: of training; None if the source does not say.
        device_hours: of the whole job; None if the source gives only a ratio.
        ratio: time relative to the source's own run of CNN-JEPA on a ResNet-50; None if it gives hours.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str
    backbone: str
    epochs: int | None = None
    device_hours: Annotated[float, Field(gt=0)] | None = None
    ratio: Annotated[float, Field(gt=0)] | None = None
    linear_top1: Annotated[float, Field(ge=0, le=100)]

    @property
    def vit(self) -> bool:
        """Whether the backbone is a vision transformer."""
        return self.backbone.startswith("ViT")

    @model_validator(mode="after")
    def _one_time(self) -> PublishedRun:
        if (self.device_hours is None) == (self.ratio is None):
            raise ValueError("a published run has either device_hours or a ratio")
        return self


class PublishedSource(BaseModel):
    """The runs of one source; `label` is one or two words for tables, `conditions` those of the measurements."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str
    citation: str
    conditions: str
    runs: tuple[PublishedRun, ...]

    @property
    def base(self) -> PublishedRun:
        """The run that ratios are relative to: CNN-JEPA on a ResNet-50."""
        return next(run for run in self.runs if (run.method, run.backbone) == ("cnn_jepa", "ResNet-50"))

    def ratio(self, run: PublishedRun) -> float:
        """The run's time relative to the base's."""
        if run.ratio is not None:
            return run.ratio
        assert run.device_hours is not None and self.base.device_hours is not None
        return run.device_hours / self.base.device_hours


@lru_cache
def published(path: Path = _FILE) -> dict[str, PublishedSource]:
    """The sources in a file by name, by default those of this version.

    Raises:
        pydantic.ValidationError: the file does not have the form of `published.yaml`.
    """
    data = read_yaml(path)
    return TypeAdapter(dict[str, PublishedSource]).validate_python(data)


def published_of(record: Record, source: str) -> list[PublishedRun]:
    """A source's runs of the record's method on a network of the same family (CNN or ViT).

    The published CNN-JEPA used the masked-dense encoder, so that only records with that encoder have a counterpart. The
    wider network is left out.
    """
    if record.method == "cnn_jepa" and encoder_of(record) != "masked_dense":
        return []
    return [
        run
        for run in published()[source].runs
        if (run.method, run.vit) == (record.method, is_vit(record)) and not run.backbone.startswith("Wide")
    ]


def encoder_of(record: Record) -> str:
    """How a run of CNN-JEPA computed its context encoder: `sparse` or `masked_dense`; empty if unknown."""
    settings = record.config.get("method")
    return str(settings.get("encoder", "")) if isinstance(settings, dict) else ""


def on_published_axes(record: Record) -> bool:
    """Whether a run can be drawn in the published figure: it was trained on ImageNet-100 at 224 px."""
    return is_imagenet100(record.dataset.name) and record.config.get("image_size") == 224


def is_imagenet100(dataset: str) -> bool:
    """Whether a dataset's name is one of ImageNet-100's."""
    return dataset.lower().replace("-", "").replace("_", "") in ("imagenet100", "in100")

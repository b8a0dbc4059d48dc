"""The schema of records: the outcome of a run.

A run's folder is `<out>/<experiment>/<entry>/seed-<seed>-<key8>/`. `record.json` is written last and atomically, so
that a folder with a record is a finished run.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

SCHEMA_VERSION = 1
RULES_VERSION = "1.1"
TUNED = "tuned"  # the tag of a sweep's best point, trained and tested on fresh seeds
UNTUNED = "untuned"  # that of the entry itself, trained on the same seeds
UNCHANGED = "as the recipe has it"  # an additional tag, if the best point is the entry's own settings

Status = Literal["completed", "collapsed", "diverged", "pruned", "failed"]
FINAL_STATUSES: tuple[Status, ...] = ("completed", "collapsed", "diverged", "pruned")
Cause = Literal["out_of_memory", "time_out", "exception"]
Purpose = Literal["result", "trial"]
Percent = Annotated[float, Field(ge=0.0, le=100.0)]
Amount = Annotated[float, Field(ge=0.0, le=1e30, allow_inf_nan=False)]
Number = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


def _moment(text: str) -> str:
    try:
        datetime.fromisoformat(text).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise ValueError(f"is no date and time such as 2026-01-31T12:00:00+00:00: {text[:40]!r}") from None
    return text


Moment = Annotated[str, AfterValidator(_moment)]
ScoresT = TypeVar("ScoresT")


class Part(BaseModel):
    """A part of a record."""

    model_config = ConfigDict(extra="forbid")


class Environment(Part):
    """The machine and the software. Never a host's name, a user's or a path.

    `instructions`: the vector instructions that torch uses on the CPU; null in records of rules 1.0.
    """

    python: str
    platform: str
    packages: dict[str, str]
    commit: str | None
    dirty: bool | None
    device: str
    device_model: str
    devices: int
    driver: str | None
    cpu_model: str
    visible_cores: int
    threads: int
    instructions: str | None = None
    memory_bytes: int


class Throughput(Part):
    """Images per second over windows of steps: median, 10th and 90th percentile."""

    median: Amount
    p10: Amount
    p90: Amount


class PhaseSeconds(Part):
    """Exclusive phases in seconds; they sum to the total time. Data wait is inside training."""

    setup: Amount = 0.0
    warmup: Amount = 0.0
    training: Amount = 0.0
    evaluation: Amount = 0.0
    checkpointing: Amount = 0.0
    logging: Amount = 0.0


class Point(Part):
    """The training time at some progress."""

    progress: Amount
    training_time: Amount


class EnergyRecord(Part):
    """Energy in joules, the seconds of training in which it was sampled, and the device that it is of."""

    joules: Amount
    seconds: Amount
    scope: str


class LedgerRecord(Part):
    """A run's time by purpose. Seconds, unless the name says otherwise; null if not measured.

    `views`: of all samples, that passed an encoder, online or target; `encoded_pixels`: theirs.
    `training_time`: steps with their data wait, EMA and whatever the method itself needs. `total_time`: everything.
    `flops`: of convolutions, matrix products and attention, forward and backward, over all devices. `other_cores`: how
    many cores other processes kept busy during training, on average. `clock_mhz`: mean clock of the device during
    training. `throttled`: share of it in which heat or power supply held the clock down. `ready_made_per_second`:
    images per second with a ready batch, measured outside the run; null if images are on the device anyway.
    `tracked`: a tracker followed the run, or a part of it.
    """

    phases: PhaseSeconds
    data_wait: Amount
    training_time: Amount
    total_time: Amount
    device_hours: Amount
    devices: Number
    steps: Number
    samples: Number
    views: Number
    encoded_pixels: Number | None = None
    samples_per_second: Throughput | None
    ready_made_per_second: Amount | None = None
    flops_per_step: Amount | None = None
    flops: Amount | None = None
    energy: EnergyRecord | None = None
    other_cores: Amount | None = None
    clock_mhz: Amount | None = None
    throttled: Share | None = None
    peak_memory_bytes: Number | None
    evaluation_points: list[Point] = []
    resumed: int = 0
    tracked: bool = False


class EncoderScores(Part):
    """Scores of one encoder by the final protocols, on the test split. Accuracies in percent."""

    weights: Literal["online", "ema"]
    pooling: str
    dimension: Number
    linear_top1: Percent
    linear_top5: Percent
    linear_strength: Amount
    linear_validation_top1: Percent
    knn20: Percent
    knn200: Percent


class ValidationPoint(Part):
    """Scores of the primary encoder on the validation split at an evaluation point. Accuracies in percent."""

    progress: Amount
    linear_top1: Percent
    knn20: Percent
    knn200: Percent


class _Results(Part, Generic[ScoresT]):
    """The results of a run, without times. `encoders[primary]` is compared with other runs."""

    primary: str
    encoders: dict[str, ScoresT]
    final_loss: float | None
    backbone_parameters: int
    trainable_parameters: int

    @property
    def scores(self) -> ScoresT:
        """The primary encoder's scores."""
        return self.encoders[self.primary]


class Metrics(_Results[EncoderScores]):
    """The results of a run on the test split."""

    extra: dict[str, float] = {}
    validation: list[ValidationPoint] = []

    @model_validator(mode="after")
    def _primary_is_there(self) -> Metrics:
        if self.primary not in self.encoders:
            raise ValueError(f"primary is '{self.primary}', but the encoders are {', '.join(self.encoders)}")
        return self


class ValidationScores(Part):
    """Scores of one encoder by the final protocols, on the validation split only. Accuracies in percent.

    The probe's regularisation was chosen on the same split, so that `linear_top1` is slightly too high in every trial.
    """

    weights: Literal["online", "ema"]
    pooling: str
    dimension: Number
    linear_top1: Percent
    linear_strength: Amount
    knn20: Percent
    knn200: Percent


class TrialMetrics(_Results[ValidationScores]):
    """The results of a trial of a sweep: as `Metrics`, but on the validation split."""

    validation: list[ValidationPoint] = []


class DatasetRecord(Part):
    """The dataset of a run. `manifest` is a hash over classes, splits and sorted image checksums.

    `seen_test_images`: how many test images are in the training split, too. `layout`: how the images of a folder or
    file lie there, in words; `sizes`: theirs in pixels; `notes`: what was left out, or decided; `left_out`: images that
    cannot be used and were left out (`--on-error skip`), each with the reason. These four are not written where they
    are empty, so that the keys of older step-cost records stay what they were.
    """

    name: str
    manifest: str
    classes: int
    counts: dict[str, int]
    seen_test_images: Number = 0
    layout: str = ""
    sizes: str = ""
    notes: list[str] = []
    left_out: dict[str, str] = {}

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        newer = ("layout", "sizes", "notes", "left_out")
        return {name: value for name, value in data.items() if value or name not in newer}


class KeySettings(Part):
    """The settings of method and backbone that are in a run's key: those that are not the defaults.

    With the rest of the record, the key can be computed again (`benchmark/records/keys.py`).
    """

    settings: dict[str, Any]
    backbone: dict[str, Any]


class Record(Part):
    """The outcome of a run: one entry with one seed.

    A `trial` of a sweep has `trial_metrics` instead of `metrics`: it never read the test split. `crops` says who made
    the training crops: the training `device`, of images (or the squares in their middle) that lay in memory or are
    small and alike; or the `reader`, of the whole of each image, when it was decoded. `key_settings` is null in records
    older than it, and of encoders trained elsewhere, whose key is that of their weights. `method_display` and
    `method_colour` are what the method's class says it looks like in figures and tables.
    """

    schema_version: int = SCHEMA_VERSION
    rules_version: str = RULES_VERSION
    key: str
    key_settings: KeySettings | None = None
    experiment: str
    entry: str
    method: str
    method_display: str | None = None
    method_colour: str | None = None
    backbone: str
    seed: Number
    status: Status
    cause: Cause | None = None
    message: str | None = None
    config: dict[str, Any]
    dataset: DatasetRecord
    crops: Literal["device", "reader"] = "device"
    environment: Environment
    ledger: LedgerRecord | None
    metrics: Metrics | None
    purpose: Purpose = "result"
    trial_metrics: TrialMetrics | None = None
    flags: list[str] = []
    started: Moment
    ended: Moment


class ProbeRecord(Part):
    """Scores of a run's primary encoder by a further protocol: `probes/<protocol>.json` in the run's folder.

    `key` is the run's. `dataset` is that of the probe, which for a transfer is not that of the training. `scores` are
    by name (`evaluation/further/` says which), accuracies in percent. `seconds` are those of all calls that
    worked on it, of interrupted ones up to the state that they saved: evaluation, in no ledger of training.
    """

    schema_version: int = SCHEMA_VERSION
    rules_version: str = RULES_VERSION
    key: str
    protocol: str
    dataset: DatasetRecord
    scores: dict[str, float]
    seconds: Amount
    environment: Environment
    ended: Moment

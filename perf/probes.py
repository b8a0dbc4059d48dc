"""The time of a run's probes: each one from the start in batches of 512, against what runs do.

Usage: python perf/probes.py [--rounds N]

The final scores take over what the last evaluation point computed, since the weights are the same, and an encoder that
needs statistics of full images gathers them once. On a CPU the batches are smaller. Both sides probe the same untrained
networks, in turn, in one process. The scores have to be equal to the last bit. Ratios are of processor time, which
other processes disturb less than the clock's.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from claims import about, claim

from benchmark.data.datasets import first_images, load_dataset
from benchmark.data.spec import DatasetSpec
from benchmark.evaluation import features
from benchmark.evaluation.evaluate import evaluate, point_subject, ready, score_point
from benchmark.evaluation.subject import probe_data
from benchmark.machine.allocator import keep_freed_memory
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec, use_plain_attention
from methods.base import Encoder, EncoderInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.evaluation.subject import ProbeData

NETWORKS = {
    "slim ResNet-18": BackboneSpec(name="resnet18", stem="small", width=16),
    "small ViT": BackboneSpec(name="vit_tiny", patch_size=4, width=96, depth=4),
}
POINTS, IMAGES, CPU = 5, 1000, torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    keep_freed_memory()
    dataset = load_dataset(DatasetSpec(name="shapes", shapes_train=3000, shapes_test=1000), None)
    data = probe_data(dataset, 32)
    first = first_images(dataset.train, IMAGES)
    point = replace(data, train=first, pretraining=first.images)
    sizes = f"{len(data.train)} training, {len(data.validation)} validation and {len(data.test)} test images of 32 px"
    about(
        f"{sizes}, {POINTS} evaluation points with {IMAGES} training images, {torch.get_num_threads()} threads, "
        f"medians of {options.rounds} rounds"
    )
    for name, spec in NETWORKS.items():
        encoder = _encoder(spec)
        compare(
            f"probes of a run, {name}",
            partial(from_the_start, encoder, data, point),
            partial(as_runs_do, encoder, data, point),
            options.rounds,
            at_least=1.05,
        )
    fresh = _encoder(NETWORKS["slim ResNet-18"], recalibrate=True)

    def twice() -> list[Any]:
        """Statistics are gathered for the scores, and again for the weights that the run leaves."""
        scores = _large(lambda: evaluate(fresh, data, "test", CPU))
        ready(fresh, data, CPU)
        return [scores]

    compare(
        "random init, slim ResNet-18",
        twice,
        lambda: [evaluate(ready(fresh, data, CPU), data, "test", CPU)],
        options.rounds,
        at_least=1.2,
    )


def from_the_start(encoder: Encoder, data: ProbeData, point: ProbeData) -> list[Any]:
    """Every probe extracts all the features that it needs, 512 images at once."""

    def work() -> list[Any]:
        scores: list[Any] = [score_point(point_subject(encoder, point, CPU)) for _ in range(POINTS)]
        return [*scores, evaluate(encoder, data, "test", CPU)]

    scores: list[Any] = _large(work)
    return scores


def as_runs_do(encoder: Encoder, data: ProbeData, point: ProbeData) -> list[Any]:
    """The final scores begin with the features of the last evaluation point."""
    subjects = [point_subject(encoder, point, CPU) for _ in range(POINTS)]
    scores: list[Any] = [score_point(subject) for subject in subjects]
    return [*scores, evaluate(encoder, data, "test", CPU, before=subjects[-1])]


def _large(work: Callable[[], Any]) -> Any:
    small, features._CPU_BATCH = features._CPU_BATCH, 512
    try:
        return work()
    finally:
        features._CPU_BATCH = small


def compare(
    name: str, before: Callable[[], list[Any]], now: Callable[[], list[Any]], rounds: int, *, at_least: float
) -> None:
    """Measures both sides in turn, and reports the ratio of their processor times."""
    spent: dict[str, list[tuple[float, float]]] = {"before": [], "now": []}
    scores = {}
    for _ in range(rounds):
        for side, work in (("before", before), ("now", now)):
            start, processor = time.perf_counter(), time.process_time()
            scores[side] = work()
            spent[side].append((time.process_time() - processor, time.perf_counter() - start))
    assert scores["before"] == scores["now"], "the scores differ"
    (slow, slow_wall), (fast, fast_wall) = (
        [statistics.median(values) for values in zip(*spent[side], strict=True)] for side in ("before", "now")
    )
    detail = f"before {slow:.1f} s of processor time, now {fast:.1f} (by the clock {slow_wall:.1f} and {fast_wall:.1f})"
    claim(name, slow / fast, "x", at_least=at_least, detail=detail)


def _encoder(spec: BackboneSpec, *, recalibrate: bool = False) -> Encoder:
    torch.manual_seed(0)
    backbone = build_backbone(spec, 32)
    info = EncoderInfo("online", backbone.pooling, backbone.dimension, recalibrate)
    encoder: Encoder = Encoder(backbone, info).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    use_plain_attention(encoder)
    return encoder.requires_grad_(False).eval()


if __name__ == "__main__":
    main()

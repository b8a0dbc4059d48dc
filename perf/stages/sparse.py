"""The sparse encoder's table: a training step on it, on the masked-dense one, and on the plain network."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sparse_encoder import CASES, Case, step_of

from stages.clock import median_seconds, peak_bytes, reset_peak

if TYPE_CHECKING:
    from stages.plan import Context

_BATCHES = {"resnet50": 128, "resnet50-bf16": 256, "resnet18-96": 512, "slim": 512, "convnext": 128, "step": 128}
_DENSE = "dense channels_last"


def cases(*, tiny: bool) -> list[Case]:
    """The cases of `sparse_encoder.py` at batches that fill a GPU; for a dry run its smallest one."""
    if tiny:
        (slim,) = (case for case in CASES if case.name == "slim")
        return [replace(slim, batch=8, backbone=slim.backbone.model_copy(update={"width": 8}), precision="32")]
    return [replace(case, batch=_BATCHES[case.name]) for case in CASES if case.name in _BATCHES]


def run(context: Context) -> str | None:
    """Measures every side of every case that has no row yet; ratios are to the sparse one, of the same stay."""
    for case in cases(tiny=context.tiny):
        name = f"{case.name}, {case.size} px, batch {case.batch}, {case.precision}"
        if context.results.has(name):
            continue
        if context.left < 4:
            return f"time was up before {name}"
        sides = ["sparse", *dict.fromkeys([against for against, _ in case.claims])]
        if not case.whole_step and _DENSE not in sides:
            sides.append(_DENSE)
        if context.device == "cuda" and not case.whole_step and find_spec("triton") is not None:
            sides.append("sparse triton")
        times: dict[str, float] = {}
        peaks: dict[str, int | None] = {}
        for side in sides:
            reset_peak(context.device)
            step = step_of(case, side, context.device)
            rounds, seconds = (2, 0.05) if context.tiny else (5, 0.5)
            times[side] = median_seconds(step, context.device, rounds=rounds, seconds=seconds)
            peaks[side] = peak_bytes(context.device)
            del step
        others = ", ".join(f"{side} {times[side] / times['sparse']:.2f} x" for side in sides[1:])
        context.results.add(
            name, 1e3 * times["sparse"], "ms", others, times={k: 1e3 * v for k, v in times.items()}, peak_bytes=peaks
        )
    return None

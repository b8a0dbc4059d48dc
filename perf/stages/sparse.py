"""The sparse encoder's table: a training step on it, on the masked-dense one, and on the plain network."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from sparse_encoder import CASES, Case, step_of

from stages.clock import median_seconds, peak_bytes, reset_peak

if TYPE_CHECKING:
    from stages.plan import Context

_BATCHES = {"resnet50": 128, "resnet50-bf16": 256, "resnet18-96": 512, "slim": 512, "convnext": 128, "step": 128}
_DENSE = "dense channels_last"
_TRITON = "sparse triton"


def cases(*, tiny: bool) -> list[Case]:
    """The cases of `sparse_encoder.py` at batches that fill a GPU; for a dry run its smallest one."""
    if tiny:
        (slim,) = (case for case in CASES if case.name == "slim")
        return [replace(slim, batch=8, backbone=slim.backbone.model_copy(update={"width": 8}), precision="32")]
    return [replace(case, batch=_BATCHES[case.name]) for case in CASES if case.name in _BATCHES]


def run(context: Context) -> str | None:
    """Measures every side of every case that has no row yet; ratios are to the sparse one, of the same stay."""
    # cuDNN would compute float32 convolutions in TF32, but nobody the sparse encoder's matrix products.
    torch.backends.cudnn.allow_tf32 = False
    for case in cases(tiny=context.tiny):
        name = f"{case.name}, {case.size} px, batch {case.batch}, {case.precision}"
        if context.results.has(name):
            continue
        if context.left < 4:
            return f"time was up before {name}"
        with context.attempt(name):
            _measure(context, case, name)
    return None


def _measure(context: Context, case: Case, name: str) -> None:
    """The row of a case. The kernel, which may not compile everywhere, comes last and may be missing."""
    sides = ["sparse", *dict.fromkeys([against for against, _ in case.claims])]
    if not case.whole_step and _DENSE not in sides:
        sides.append(_DENSE)
    measured: dict[str, tuple[float, int | None]] = {}
    for side in sides:
        measured[side] = _side(context, case, side)
    if context.device == "cuda" and not case.whole_step and find_spec("triton") is not None:
        with context.attempt(f"{name}, {_TRITON}"):
            measured[_TRITON] = _side(context, case, _TRITON)
    times, peaks = ({side: values[which] for side, values in measured.items()} for which in range(2))
    others = ", ".join(f"{side} {times[side] / times['sparse']:.2f} x" for side in times if side != "sparse")
    milliseconds = {side: 1e3 * seconds for side, seconds in times.items()}
    context.results.add(name, milliseconds["sparse"], "ms", others, times=milliseconds, peak_bytes=peaks)


def _side(context: Context, case: Case, side: str) -> tuple[float, int | None]:
    """Seconds of a step of one side, and its peak memory."""
    reset_peak(context.device)
    rounds, seconds = (2, 0.05) if context.tiny else (5, 0.5)
    spent = median_seconds(step_of(case, side, context.device), context.device, rounds=rounds, seconds=seconds)
    return spent, peak_bytes(context.device)

"""The sparse encoder against the masked-dense encoder and the plain network: time of a step, memory, time by layer.

Usage: python perf/sparse_encoder.py [--cases a,b] [--rounds N] [--device cpu|cuda] [--batch N] [--layers CASE]

All sides of a case run in one process, one after the other in each round; times are medians. Every step draws a new
mask, and the timed part includes building its indices. `--layers` prints the time by layer of a case instead (on a
CPU). Peak memory is measured in a process of its own for each side.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from claims import EMULATED, about, claim, unmeasured
from torch import Tensor, nn

from benchmark.machine.devices import has_bfloat16
from cnn_jepa import CNNJEPA, MaskedDenseEncoder, MaskSpec, SparseEncoder, sample_masks
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec

if TYPE_CHECKING:
    from collections.abc import Callable


_DENSE = "dense channels_last"


@dataclass(frozen=True)
class Case:
    """One comparison. `claims` are pairs: the other side (see `step_of`), and the least ratio or None."""

    name: str
    backbone: BackboneSpec
    size: int
    batch: int
    visible: float
    precision: str
    claims: tuple[tuple[str, float | None], ...]
    mixed: bool = False
    whole_step: bool = False


RESNET50 = BackboneSpec(name="resnet50")
FIRST = Case("resnet50", RESNET50, 224, 16, 20 / 49, "32", (("masked", 3.3), ("dense channels_last", 1 / 0.45)))
CASES = (
    FIRST,
    replace(FIRST, name="resnet50-bf16", precision="bf16", claims=(("masked", 3.8),)),
    Case("resnet18-96", BackboneSpec(name="resnet18"), 96, 64, 4 / 9, "32", (("masked", 2.6),)),
    Case("resnet18-96-small", BackboneSpec(name="resnet18", stem="small"), 96, 64, 59 / 144, "32", (("masked", 2.6),)),
    Case("slim", BackboneSpec(name="resnet18", stem="small", width=16), 32, 128, 10 / 16, "bf16", (("masked", 2.0),)),
    Case("convnext", BackboneSpec(name="convnext_tiny"), 224, 16, 20 / 49, "bf16", (("masked", 2.5),)),
    replace(FIRST, name="mixed", mixed=True, claims=(("masked", 3.0),)),
    replace(
        FIRST,
        name="step",
        batch=32,
        precision="bf16",
        whole_step=True,
        claims=(("masked", 3.0), ("masked channels_last", 1.8)),
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", default=",".join(case.name for case in CASES) + ",memory")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, help="instead of the case's batch size")
    parser.add_argument("--layers", metavar="CASE", choices=[case.name for case in CASES if not case.whole_step])
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(_peak(options.peak))
        return
    if options.layers:
        _layers(next(case for case in CASES if case.name == options.layers), options.rounds)
        return
    names = options.cases.split(",")
    about(f"{options.device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    native = has_bfloat16(torch.device(options.device))
    if not native:
        about(f"Cases in bf16 are skipped or measured in float32 without a claim: {EMULATED}")
    for case in CASES:
        if case.name in names:
            case = replace(case, batch=options.batch or case.batch)
            if native or case.precision != "bf16":
                _compare(case, options.rounds, options.device)
            elif case == replace(FIRST, name=case.name, precision="bf16", claims=case.claims, batch=case.batch):
                _skip(case)  # in float32 it would repeat the first case
            else:
                unclaimed = tuple((against, None) for against, _ in case.claims)
                _compare(replace(case, precision="32", claims=unclaimed), options.rounds, options.device)
    if "memory" in names and options.device == "cpu":
        _compare_memory()


def _skip(case: Case) -> None:
    for against, least in case.claims:
        unmeasured(f"{_describe(case)} against {against}", EMULATED, "x", at_least=least)


def _describe(case: Case) -> str:
    return f"{case.name} ({case.size} px, batch {case.batch}, {case.precision})"


def _compare(case: Case, rounds: int, device: str) -> None:
    others = [against for against, _ in case.claims]
    if not case.whole_step and _DENSE not in others:
        others.append(_DENSE)  # its time multiplied by the visible share is the lower limit
    sides = {name: step_of(case, name, device) for name in ("sparse", *others)}
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds + 1):
        for name, step in sides.items():
            spent[name].append(_timed(step, device))
    medians = {name: statistics.median(times[1:]) for name, times in spent.items()}
    row = _describe(case)
    for against, least in case.claims:
        detail = f"sparse {medians['sparse'] * 1e3:.0f} ms, {against} {medians[against] * 1e3:.0f} ms"
        claim(f"{row} against {against}", medians[against] / medians["sparse"], "x", at_least=least, detail=detail)
    if not case.whole_step:
        share = medians["sparse"] / medians[_DENSE]
        visible = "the visible share varies" if case.mixed else f"the visible share is {case.visible:.2f}"
        claim(f"{row}, of {_DENSE}", 100 * share, "%", detail=f"{medians[_DENSE] * 1e3:.0f} ms; {visible}")


def _timed(step: Callable[[], None], device: str) -> float:
    if device == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        step()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def step_of(case: Case, side: str, device: str) -> Callable[[], None]:
    """A training step of one side; `masked` has the default memory layout, as published."""
    torch.manual_seed(0)
    backbone = build_backbone(case.backbone, case.size)
    network = backbone.net.to(device)
    images = torch.randn(case.batch, 3, case.size, case.size, device=device)
    if side != "masked":
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        images = images.contiguous(memory_format=torch.channels_last)
    stride = case.backbone.stride
    grid = (case.size // stride, case.size // stride)
    spec = MaskSpec(strategy="random", mask_ratio=1 - case.visible)
    draw = functools.partial(
        sample_masks, MaskSpec() if case.mixed else spec, case.batch, grid, torch.Generator().manual_seed(0)
    )
    autocast = functools.partial(torch.autocast, device, torch.bfloat16, enabled=case.precision == "bf16")
    if case.whole_step:
        return _training_step(side, network, backbone.dimension, stride, images, draw, autocast)
    encoder = {"sparse": SparseEncoder, "masked": MaskedDenseEncoder}.get(side.split()[0])
    run: Any = network if encoder is None else encoder(network, stride)
    if side.endswith("triton"):
        run.kernels = "triton"

    def step() -> None:
        masks = draw().to(device)
        with autocast():
            features = run(images) if encoder is None else run(images, masks)
        features.float().square().mean().backward()
        for parameter in network.parameters():
            parameter.grad = None

    return step


def _training_step(
    side: str,
    network: nn.Module,
    dimension: int,
    stride: int,
    images: Tensor,
    draw: Callable[[], Any],
    autocast: Callable[[], Any],
) -> Callable[[], None]:
    model = CNNJEPA(network, dimension, stride, encoder="sparse" if side == "sparse" else "masked_dense")
    plain = side == "masked"
    model = model.to(images.device)
    if not plain:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, 1e-4, foreach=False if plain else None, fused=None if plain else True)

    def step() -> None:
        masks = draw().to(images.device)
        with autocast():
            output = model(images, masks)
        model.loss(output).backward()
        optimizer.step()
        optimizer.zero_grad()
        if not plain:
            model.update_target(0.99)
            return
        with torch.no_grad():
            for target, online in zip(model.target_network.parameters(), model.network.parameters(), strict=True):
                target.mul_(0.99).add_(online, alpha=0.01)

    return step


def _compare_memory() -> None:
    peaks = {}
    for side in ("sparse", "masked"):
        command = [sys.executable, __file__, "--peak", side]
        peaks[side] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    share = peaks["sparse"] / peaks["masked"]
    sides = f"sparse {peaks['sparse'] / 2**20:.0f} MiB, masked {peaks['masked'] / 2**20:.0f} MiB"
    claim("peak memory of the first case, share of masked", 100 * share, "%", at_most=60, detail=sides)


def _peak(side: str) -> int:
    """Bytes by which three steps raise the process's peak memory."""
    step = step_of(FIRST, side, "cpu")
    before = _high_water()
    for _ in range(3):
        step()
    return _high_water() - before


def _high_water() -> int:
    """The process's peak resident set in bytes; `getrusage` would count its parent's."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


class _Timed(SparseEncoder):
    """Records when each step has run, and when the gradient of its value is computed."""

    def __init__(self, backbone: nn.Module, patch_size: int) -> None:
        super().__init__(backbone, patch_size)
        self.forward_s: dict[str, list[float]] = defaultdict(list)
        self.arrived: list[tuple[float, str]] = []

    def _lay_out(self, *images_and_context: Any) -> Any:
        start = time.perf_counter()
        layout = super()._lay_out(*images_and_context)
        self.forward_s["(indices)"].append(time.perf_counter() - start)
        return layout

    def _run(self, step: Any, values: list[Any], way: str, *rest: Any) -> Any:
        name = f"{step.target if isinstance(step.target, str) else step.target.__name__} [{way}]"
        start = time.perf_counter()
        value = super()._run(step, values, way, *rest)
        self.forward_s[name].append(time.perf_counter() - start)
        if isinstance(value, Tensor) and value.requires_grad and step.stride is not None:
            value.register_hook(lambda _, name=name: self.arrived.append((time.perf_counter(), name)))
        return value


def _layers(case: Case, rounds: int) -> None:
    torch.manual_seed(0)
    network = build_backbone(case.backbone, case.size).net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    encoder = _Timed(network, case.backbone.stride)
    images = torch.randn(case.batch, 3, case.size, case.size).contiguous(memory_format=torch.channels_last)
    grid = (case.size // case.backbone.stride,) * 2
    spec, generator = MaskSpec(strategy="random", mask_ratio=1 - case.visible), torch.Generator().manual_seed(0)
    backward_s: dict[str, list[float]] = defaultdict(list)
    for round_ in range(rounds + 1):
        encoder.arrived.clear()
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=case.precision == "bf16"):
            features = encoder(images, sample_masks(spec, case.batch, grid, generator))
        middle = time.perf_counter()
        features.float().square().mean().backward()
        backward_s["(all)"].append(time.perf_counter() - middle)
        encoder.forward_s["(all)"].append(middle - start)
        ends = [*encoder.arrived[1:], (time.perf_counter(), "")]
        for (begin, name), (end, _) in zip(encoder.arrived, ends, strict=True):
            backward_s[name].append(end - begin)
        if not round_:  # warm-up
            encoder.forward_s.clear()
            backward_s.clear()
    print(f"\n{case.name}: milliseconds per step by layer (backward: until the next gradient is computed)")
    for name, times in encoder.forward_s.items():
        forward, backward = sum(times) / rounds * 1e3, sum(backward_s[name]) / rounds * 1e3
        if forward + backward > 1:
            print(f"{name:<48}{forward:8.1f}{backward:8.1f}")


if __name__ == "__main__":
    main()

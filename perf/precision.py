"""bfloat16 against float32: forward and backward of the quickstart's network, both sides in one run.

Usage: python perf/precision.py [--rounds N] [--device cpu|cuda]

Claim: where `precision: auto` chooses bf16, bf16 is not slower; where it chooses float32, bf16 is slower.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from claims import about, claim, skip

from benchmark.machine.devices import has_bfloat16
from benchmark.machine.environment import cpu_model
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        skip("there is no CUDA device")
    network = build_backbone(BackboneSpec(name="resnet18", stem="small", width=16), 32).net
    network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.randn(64, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    spent: dict[str, list[float]] = {"32": [], "bf16": []}
    for _ in range(options.rounds + 1):
        for precision, times in spent.items():
            start = time.perf_counter()
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                features = network(images)
            features.float().square().mean().backward()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
    medians = {precision: statistics.median(times[1:]) for precision, times in spent.items()}
    ratio = medians["32"] / medians["bf16"]
    native = has_bfloat16(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_model()
    about(f"{name}, {torch.get_num_threads()} threads, bfloat16 {'native' if native else 'emulated'}")
    sides = f"float32 {medians['32'] * 1e3:.0f} ms, bf16 {medians['bf16'] * 1e3:.0f} ms"
    claim("bf16 against float32", ratio, "x", holds=(ratio >= 1) == native, detail=sides)


if __name__ == "__main__":
    main()

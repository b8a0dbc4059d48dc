"""Several devices: what a step costs at a fixed batch on 1, 2, 4, 8 of them, and one step against that of a single one.

A single device is measured here, without a group. Processes of a group are started by `torchrun`'s launcher; NCCL on
GPUs, gloo on a CPU. The batch of all together stays the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from benchmark.training.loop import Objective
from methods.backbone_spec import BackboneSpec
from methods.base import Batch, Step
from methods.contract import SMALL, build_method, make_batch
from methods.registry import method_class
from stages.__main__ import end_with
from stages.clock import median_seconds

if TYPE_CHECKING:
    from stages.plan import Context

METHODS = ("simclr", "vicreg", "byol", "cnn_jepa")
_MOST = 8
_TOLERANCE = 1e-2


def run(context: Context) -> str | None:
    """Measures every number of devices that is there, method after method.

    Raises:
        RuntimeError: a group failed, or a step of several devices is not that of one.
    """
    visible = torch.cuda.device_count() if context.device == "cuda" else 2
    counts = [count for count in (1, 2, 4, _MOST) if count <= visible]
    methods = METHODS[:1] if context.tiny else METHODS
    for count in counts:
        if all(context.results.has(_name(method, count)) for method in methods):
            continue
        if context.left < 5:
            return f"time was up before {count} devices"
        try:
            measured = _measured(context, count, methods)
        except TimeoutError:
            return f"time was up before {count} devices had finished"
        for method, values in measured.items():
            _add(context, method, count, values)
    return None


def _measured(context: Context, count: int, methods: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    if count > 1:
        return launch(count, context.device, methods, tiny=context.tiny, seconds=context.left)
    here = torch.device("cuda", 0) if context.device == "cuda" else torch.device("cpu")
    return {name: _measure(name, here, 0, 1, tiny=context.tiny) for name in methods}


def _name(method: str, count: int) -> str:
    return f"{method}, {count} device{'s' * (count > 1)}"


def _add(context: Context, method: str, count: int, values: dict[str, Any]) -> None:
    """The row of a method on so many devices, judged by that of one."""
    alone = next((row for row in context.results.rows if row["name"] == _name(method, 1)), None)
    detail, away = "", None
    if alone is not None and count > 1:
        away = distance(values["gradient"], alone["gradient"])
        speed = alone["value"] / (1e3 * values["seconds"])
        detail = f"{speed:.2f} x as fast as one; norms of gradients {away:.1e} away"
    row = {"gradient": values["gradient"], "loss": values["loss"]}
    context.results.add(_name(method, count), 1e3 * values["seconds"], "ms", detail, **row)
    if away is not None and away > _TOLERANCE:
        raise RuntimeError(f"{_name(method, count)}: norms of gradients are {away:.1e} away from those of one device")


def distance(got: list[float], expected: list[float]) -> float:
    """The relative distance of two vectors."""
    ours, theirs = torch.tensor(got), torch.tensor(expected)
    return float((ours - theirs).norm() / theirs.norm().clamp(min=1e-12))


def launch(count: int, device: str, methods: tuple[str, ...], *, tiny: bool, seconds: float) -> dict[str, Any]:
    """What `count` processes measure together, by method: `seconds`, `loss`, and norms of `gradient` by parameter.

    Raises:
        RuntimeError: they failed.
        TimeoutError: they took longer than `seconds`.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "measured.json"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        command += ["--module", "stages.scaling", device, str(out), "tiny" if tiny else "full", *methods]
        process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
        try:
            code = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.terminate()  # the launcher ends its processes, which are in sessions of their own
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
            process.kill()
            raise TimeoutError from None
        if code or not out.is_file():
            raise RuntimeError(f"{count} processes ended with code {code}")
        measured: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return measured


def member(device: str, out: Path, methods: list[str], *, tiny: bool) -> None:
    """One process of a group: measures, and writes what was measured if it is the first."""
    rank, size = int(os.environ["LOCAL_RANK"]), int(os.environ["WORLD_SIZE"])
    here = torch.device("cuda", rank) if device == "cuda" else torch.device("cpu")
    if device == "cuda":
        torch.cuda.set_device(here)
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        measured = {name: _measure(name, here, rank, size, tiny=tiny) for name in methods}
        if rank == 0:
            out.write_text(json.dumps(measured), encoding="utf-8")
        dist.barrier()
    finally:
        dist.destroy_process_group()


def _measure(name: str, here: torch.device, rank: int, size: int, *, tiny: bool) -> dict[str, Any]:
    backbone = SMALL["cnn"] if tiny else BackboneSpec(name="resnet18", stem="small")
    images = 16 if tiny else 1024
    torch.backends.cudnn.allow_tf32 = False  # the step that is compared is in float32
    method = build_method(method_class(name), backbone, {})
    batch = make_batch(method, images=images)
    if here.type == "cuda" and size > 1:
        method.synchronise_batch_norm()  # otherwise each device would take the statistics of its own share
    elif here.type == "cpu":  # where torch does not synchronise them: those of no batch
        for module in method.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.eval()
    method = method.to(device=here, memory_format=torch.channels_last)  # type: ignore[call-overload]
    share = images // size
    own = slice(rank * share, (rank + 1) * share)
    views = tuple(view[own].to(here).contiguous(memory_format=torch.channels_last) for view in batch.views)
    part = Batch(views, batch.labels[own].to(here), batch.sample_ids[own])
    options: dict[str, Any] = {"device_ids": [rank]} if here.type == "cuda" else {}
    model: nn.Module = Objective(method)
    if size > 1:
        model = DistributedDataParallel(model, broadcast_buffers=False, **options)

    def step() -> torch.Tensor:
        draws = torch.Generator().manual_seed(0)
        place = Step(0.3, 0, draws, own.start, images)
        fields = (place.progress, place.index, place.generator, place.start, place.batch_size)
        method.zero_grad(set_to_none=True)
        with torch.autocast(here.type, torch.bfloat16, enabled=here.type == "cuda" and timed):
            loss, _ = model(part.views, part.labels, part.sample_ids, part.boxes, *fields)
        loss.backward()
        return loss.detach()

    timed = False
    loss = step()
    gradient = [float(p.grad.norm()) for p in method.parameters() if p.grad is not None]
    timed = True
    rounds, seconds = (2, 0.05) if tiny else (5, 1.0)
    spent = median_seconds(step, here.type, rounds=rounds, seconds=seconds)
    if size > 1:
        dist.all_reduce(loss)
    return {"seconds": spent, "loss": float(loss) / size, "gradient": gradient}


if __name__ == "__main__":
    # The launcher gives each process a session of its own, out of reach of the stage's end.
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    member(sys.argv[1], Path(sys.argv[2]), sys.argv[4:], tiny=sys.argv[3] == "tiny")

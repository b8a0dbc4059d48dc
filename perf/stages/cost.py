"""What a training step of every method costs: `bench cost` at 32 and at 224 px, with and without compiled networks.

Case after case as long as the time lasts; a case that was interrupted keeps its complete rounds and goes on with the
next stay. Images are decoded and on the device.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from benchmark.errors import Interrupted
from benchmark.records.cost import MIN_ROUNDS, find_costs
from benchmark.runs.cost_rounds import CostOptions
from benchmark.runs.step_cost import measure_experiment
from stages.harness import Deadline, Prepared, enlarged_images, prepare, reporter

if TYPE_CHECKING:
    from benchmark.records.cost import EntryCost, StepCost
    from stages.plan import Context

_NETWORKS = ("cnn_jepa", "cnn_jepa_dense", "byol", "simclr", "vicreg", "ijepa", "simclr_vit", "supervised")
_PUBLISHED = ("cnn_jepa", "cnn_jepa_dense", "byol", "simclr", "vicreg", "ijepa")  # device-hours on ImageNet-100
_OTHERS = ("spark", "simsiam", "barlow_twins", "moco_v3", "vicregl", "dino", "lejepa", "mae", "data2vec", "ibot", "msn")
_LARGE = 60 * 2**30  # bytes of a card that holds the batch of 256
_RESERVE = 3.0  # seconds for the rows after the last block


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        config: the experiment.
        entries: of it.
        projects: whether ImageNet-100's device-hours are projected from it.
    """

    name: str
    config: str
    entries: tuple[str, ...]
    settings: tuple[str, ...]
    large: bool = False
    projects: bool = False


def cases(*, tiny: bool, memory: int = 0) -> list[Case]:
    """The cases in the order of their weight; `memory` is that of the card in bytes."""
    if tiny:
        small = ("backbone.width=8", "batch_size=8", "backbone.name=resnet18", "backbone.stem=small")
        return [Case("32 px", "imagenet100", ("simclr",), (*small, "dataset.size=32"), large=True)]
    batch = 256 if memory >= _LARGE else 64
    full = f"224 px, batch {batch}"
    large = (f"batch_size={batch}",)
    compiled, graphs = "acceleration.networks=compiled", "acceleration.networks=graphs"
    small = "32 px, batch 512"
    return [
        Case(full, "imagenet100", _PUBLISHED, large, large=True, projects=True),
        Case(small, "cifar10", _NETWORKS, ()),
        # The methods that configs/cifar10.yaml leaves out: CNNs at full width; the zoo's ViTs are narrow.
        Case(f"{small}, other methods", "zoo", _OTHERS, ("batch_size=512", "backbone.width=64")),
        Case(f"{full}, triton", "imagenet100", ("cnn_jepa",), (*large, "acceleration.sparse=triton"), large=True),
        # Last, because compiling takes a minute and more for each network; what is compiled is kept for the next stay.
        Case(f"{small}, graphs", "cifar10", ("simclr", "byol", "cnn_jepa"), (graphs,)),
        Case(f"{small}, compiled", "cifar10", ("simclr", "byol", "cnn_jepa"), (compiled,)),
        Case(f"{full}, compiled", "imagenet100", ("simclr", "cnn_jepa"), (*large, compiled), large=True),
    ]


def run(context: Context) -> str | None:
    """Measures every case that is not complete, until the time is up."""
    memory = torch.cuda.get_device_properties(0).total_memory if context.device == "cuda" else 0
    planned, open_cases = cases(tiny=context.tiny, memory=memory), []
    for case in planned:
        if context.left > _RESERVE and not _is_complete(context, case):
            with context.attempt(case.name), suppress(Interrupted):
                _measure(context, case)
        _add_rows(context, case)
        if not _is_complete(context, case):
            open_cases.append(case.name)
    return f"time was up for: {'; '.join(open_cases)}" if open_cases else None


def _measure(context: Context, case: Case) -> None:
    torch.compiler.reset()
    prepared = _prepared(context, case)
    options = CostOptions(
        MIN_ROUNDS, 0.01 if context.tiny else 0.2, precise=0.99, counting=0.1 if context.tiny else 1.0
    )
    measure_experiment(
        prepared.experiment,
        prepared.entries,
        prepared.dataset,
        context.folder / case.name / prepared.experiment.name,
        options,
        context.device,
        reporter(),
        Deadline(context, _RESERVE),
        share=True,
    )


def _prepared(context: Context, case: Case) -> Prepared:
    if case.large:
        data = enlarged_images(context, 40 if context.tiny else 320)
        return prepare(case.config, case.entries, (*case.settings, "precision=auto"), data)
    count = 100 if context.tiny else 2000
    generated = ("dataset.name=shapes", f"dataset.shapes_train={count}", f"dataset.shapes_test={count // 10}")
    return prepare(case.config, case.entries, (*case.settings, *(() if context.data else generated)), context.data)


def _record(context: Context, case: Case) -> StepCost | None:
    """The newest record of a case."""
    found, _ = find_costs([context.folder / case.name])
    return max((cost for _, cost in found), key=lambda cost: cost.ended, default=None)


def _is_complete(context: Context, case: Case) -> bool:
    record = _record(context, case)
    return record is not None and record.status == "complete" and record.rounds >= MIN_ROUNDS


def _add_rows(context: Context, case: Case) -> None:
    """A row of each entry of a case, as far as it was measured."""
    record = _record(context, case)
    for entry in () if record is None else record.entries:
        name, seconds = f"{case.name}: {entry.entry}", entry.seconds_per_step
        if entry.status != "measured":
            context.results.add(name, None, detail=f"{entry.status.replace('_', ' ')}: {entry.message}")
        elif seconds is not None:
            context.results.add(
                name,
                entry.batch_size / seconds.median,
                "images/s",
                _detail(entry),
                entry=entry.entry,
                projects=case.projects,
                seconds_per_step=seconds.model_dump(),
                parts=entry.parts,
            )


def _detail(entry: EntryCost) -> str:
    """Everything else that was measured, in words."""
    assert entry.seconds_per_step is not None
    words = [f"{1e3 * entry.seconds_per_step.median:.1f} ms ± {100 * entry.seconds_per_step.half_width:.1f}%"]
    if entry.ratio is not None:
        words.append(f"{entry.ratio.median:.2f} x the reference")
    if entry.peak_memory_bytes is not None:
        words.append(f"{entry.peak_memory_bytes / 2**30:.1f} GiB")
    if entry.joules_per_step is not None:
        words.append(f"{1e3 * entry.joules_per_step.median / entry.batch_size:.1f} mJ an image")
    if entry.parts:
        slowest = sorted(entry.parts.items(), key=lambda part: -part[1])[:3]
        words.append("parts: " + ", ".join(f"{name} {1e3 * seconds:.1f} ms" for name, seconds in slowest))
    return "; ".join(words)

"""The stages of `perf/gpu.py`, and what each is given. Standard library only: it runs where nothing is installed."""

from __future__ import annotations

import time
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from stages.results import Results

TOTAL = 540.0  # seconds of all stages together
_TINY_LIMIT = 240.0  # seconds of a stage in a dry run, whose machine may be slow

_METHODS = ("lightly", "pydantic", "timm", "yaml")
_HARNESS = (
    *_METHODS, "PIL", "filelock", "h5py", "lightning_fabric", "numpy", "psutil", "rich", "scipy", "torchvision",
)  # fmt: skip
_RUNS = (*_HARNESS, "safetensors")


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: of its file of results, and on the command line.
        title: of its section on the page.
        gives: what it measures, in a sentence.
        seconds: its time limit.
        packages: what it imports beside torch and the standard library, by import name.
        cards: the fewest CUDA devices that it needs; on a CPU it runs with as many processes.
        takes_rest: it may use all the time that is left, and measures more in every stay.
        module: has a function `run(context)`; by default `stages.<name>`.
    """

    name: str
    title: str
    gives: str
    seconds: float
    packages: tuple[str, ...]
    cards: int = 1
    takes_rest: bool = False
    module: str = ""

    def limit(self, left: float, *, tiny: bool) -> float:
        """Seconds that it may take where so many are left for all."""
        return min(left, _TINY_LIMIT if tiny else left if self.takes_rest else self.seconds)

    def missing(self, installed: Sequence[str] | None = None) -> list[str]:
        """The packages that it needs and that are not there; `installed` replaces a look at the interpreter's."""
        return [name for name in self.packages if not (find_spec(name) if installed is None else name in installed)]


STAGES = (
    Stage(
        "tests",
        "Tests",
        "`pytest -m cuda`: a step of every method against the CPU's, bfloat16, `channels_last`, compiled networks and "
        "CUDA graphs, NCCL, memory, and that the host never waits inside a step",
        60,
        (*_RUNS, "pytest", "pytest_timeout", "typer"),
    ),
    Stage(
        "cost",
        "The cost of a training step",
        "`bench cost` of all methods at 32 px (ResNet-18) and at 224 px (ResNet-50, ViT-S), also compiled: images per "
        "second, parts of a step, memory, joules",
        120,
        _HARNESS,
    ),
    Stage(
        "sparse",
        "The sparse encoder",
        "a training step of the sparse encoder against the masked-dense one and the plain network",
        45,
        ("filelock", "pydantic", "timm"),
    ),
    Stage(
        "views",
        "Views",
        "images per second through the views of SimCLR, at 32 and at 224 px, with and without compiled colours",
        30,
        ("pydantic",),
    ),
    Stage(
        "scaling",
        "Several devices",
        "the step's cost at a fixed batch on 1, 2, 4 and 8 cards, and one step against that of a single card",
        40,
        _METHODS,
        cards=2,
    ),
    Stage(
        "compare",
        "A comparison of CIFAR-10's size",
        "the full ResNet-18 on 32 px at equal calibrated time: SimCLR, CNN-JEPA, BYOL, VICReg, supervised, random "
        "init; a seed more with every stay",
        240,
        _RUNS,
        takes_rest=True,
    ),
)


@dataclass(frozen=True)
class Context:
    """What a stage is given.

    Attributes:
        device: `cuda` or `cpu`.
        tiny: a dry run: everything as small as it can be.
        data: an image folder; None for generated images.
        folder: where the stage may keep what the next stay resumes from.
        results: its results so far; a measurement whose row is there is not repeated.
        end: the time (`time.monotonic`) by which it has to have ended by itself.
        failed: which measurements failed, and why.
    """

    device: str
    tiny: bool
    data: Path | None
    folder: Path
    results: Results
    end: float = field(default_factory=lambda: time.monotonic() + TOTAL)
    failed: list[str] = field(default_factory=list)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.end - time.monotonic()

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """A measurement that ends no other by failing: it has no row, and the stage has failed once it is through."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            self.failed.append(f"{name}: {type(error).__name__}: {error}".splitlines()[0])

"""The page docs/gpu.md, from the stages' results. Standard library only, but for the published numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.plan import STAGES, Stage
from stages.results import read

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Machine = dict[str, dict[str, Any]]
"""What one folder of results holds: the content of its files, by stage."""

IMAGES, EPOCHS = 126_689, 200  # of ImageNet-100, and of the published runs
_NOT_YET = "not measured"
_INTRODUCTION = """# On a GPU

Made by `make gpu`, in nine minutes at most. On a machine with a card:

1. `make gpu GPU_PYTHON=python3`, with the python that has torch (2.8 or later). Nothing is installed or downloaded.
   It first says which packages are missing, and which stages need them; other stages run all the same.
2. If some are missing, bring them in a folder, made on any machine with pip, for the card's python:

    ```
    options="--target gpu-packages --only-binary=:all: --python-version 3.12"
    options="$options --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64"
    pip install $options pydantic
    pip install $options --no-deps lightly h5py
    make gpu GPU_PYTHON=python3 PACKAGES=gpu-packages
    ```

    `--no-deps` keeps pip from bringing another torch and numpy, which would take the place of those that are there.
    Name what such a package needs, too (`lightning-fabric` needs `lightning-utilities`, `timm` needs `safetensors` and
    `huggingface-hub`).
3. The same command again does what is missing: stages that are done are not repeated as long as card, versions and code
   are the same. One stay does not reach all of it. Above all the compiled cases need several: compiling takes minutes,
   and what is compiled is kept beside the results.
4. The page is this one, docs/gpu.md; the numbers are in `results/gpu/`. Commit both.

Each stage has a time limit and writes its results after every measurement. A stage that fails ends no other, and a
measurement that fails ends none of its stage's. The exit code is 1 where something failed or packages are missing.
`DATA=FOLDER` takes an image folder of 32 px instead of generated images, `ONLY=cost,sparse` some stages, `OUT=FOLDER`
keeps results elsewhere. `make gpu DEVICE=cpu TINY=1` is a dry run on a CPU: all stages in one process, on networks a
few channels wide, with one method where all methods share the code, nothing compiled, and none of the tests for a GPU.

What is switched off until it has been measured: [`acceleration`](configuration.md#acceleration). Joules are of blocks
of 0.2 s, and the driver's counter moves about every tenth of a second: they are rough.
"""
_ENTRIES = {  # of configs/imagenet100.yaml: method and network as published, and what the entry is
    "cnn_jepa_dense": ("cnn_jepa", "ResNet-50", "CNN-JEPA, masked-dense encoder as published"),
    "cnn_jepa": ("cnn_jepa", "ResNet-50", "CNN-JEPA, sparse encoder"),
    "simclr": ("simclr", "ResNet-50", "SimCLR"),
    "vicreg": ("vicreg", "ResNet-50", "VICReg"),
    "byol": ("byol", "ResNet-50", "BYOL"),
    "ijepa": ("ijepa", "ViT-S/14", "I-JEPA (ViT-S/14)"),
}


def read_folder(folder: Path) -> Machine:
    """The results in a folder, by stage; those of stages that never ran are left out."""
    found = {stage.name: read(folder / f"{stage.name}.json") for stage in STAGES}
    return {name: data for name, data in found.items() if data is not None}


def render(machines: Sequence[Machine]) -> str:
    """The page of some machines; without any it says that nothing was measured, and what would be."""
    machines = [machine for machine in machines if machine]
    lines = [_INTRODUCTION]
    if not machines:
        lines += [
            "**Not measured yet.** No CUDA device was at hand: none of this has ever run on one. What follows is the",
            "form of the page: what each stage measures, and where its numbers will stand. Every stage has run on a",
            "CPU in a dry run, whose numbers say nothing about a GPU and are not shown.",
            "",
            *_overview({}),
            *_projection({}),
        ]
    for machine in machines:
        lines += _machine(machine)
    return "\n".join(lines).rstrip("\n") + "\n"


def _machine(machine: Machine) -> list[str]:
    """The part of the page about one device."""
    identity = next(iter(machine.values()))["identity"]
    lines = [f"## {identity['device']}{' (dry run)' if identity['tiny'] else ''}", ""]
    if identity["tiny"]:
        lines += ["**A dry run**: it shows the form of the page. Its numbers say nothing.", ""]
    elif len({str(data["identity"]) for data in machine.values()}) > 1:
        lines += ["The stages were measured with different versions or code; the table has the first one's.", ""]
    return [*lines, *_facts(identity), *_overview(machine), *_projection(machine), *_sections(machine)]


def _facts(identity: dict[str, Any]) -> list[str]:
    """What was measured on what."""
    memory = identity["memory_bytes"]
    packages = {"torch": identity["torch"], **identity["packages"]}
    facts = {
        "CUDA devices": f"{identity['cards']}",
        "Memory": "" if memory is None else f"{memory / 2**30:.0f} GiB",
        "Driver": identity["driver"],
        "CUDA of torch": identity["cuda"],
        "Python": identity["python"],
        "Packages": ", ".join(f"{name} {number}" for name, number in packages.items()),
        "Commit": _commit(identity),
        "Images": identity["data"] or "generated",
    }
    return ["| | |", "| --- | --- |", *(f"| {key} | {cell(str(value))} |" for key, value in facts.items() if value), ""]


def _commit(identity: dict[str, Any]) -> str:
    changes = ", with changes" if identity["changed"] else ""
    return f"{identity['commit'][:12]}{changes}" if identity["commit"] else ""


def _overview(machine: Machine) -> list[str]:
    """Which stages ran, and how they ended."""
    rows = []
    for stage in STAGES:
        data = machine.get(stage.name)
        state = _NOT_YET if data is None else data["status"] + (f": {data['reason']}" if data["reason"] else "")
        spent = "" if data is None else f"{data['seconds']:.0f} s in {data['stays']} stay{'s' * (data['stays'] != 1)}"
        rows.append(f"| {stage.title} | {stage.gives} | {stage.seconds:.0f} s | {cell(state)} | {spent} |")
    return ["| stage | measures | limit | state | took |", "| --- | --- | ---: | --- | --- |", *rows, ""]


def _projection(machine: Machine) -> list[str]:
    """Device-hours of ImageNet-100 at the speed that was measured, beside the published ones."""
    rows = {
        row["entry"]: row
        for row in machine.get("cost", {}).get("rows", ())
        if row.get("projects") and row["value"] is not None
    }
    published = _published_hours()
    lines = [
        "### ImageNet-100, projected",
        "",
        f"Device-hours of {EPOCHS} epochs over {IMAGES:,} images at the measured step, decoded images on the device:",
        "without loading, decoding and probes. The published hours are of the whole job, all of these included, on",
        "cards of an unstated model (CNN-JEPA's repository, cost figure).",
        "",
        "| entry | images/s | projected device-hours | published |",
        "| --- | ---: | ---: | ---: |",
    ]
    for entry, (method, network, title) in _ENTRIES.items():
        row = rows.get(entry)
        speed = _NOT_YET if row is None else f"{row['value']:,.0f}"
        hours = _NOT_YET if row is None else f"{EPOCHS * IMAGES / row['value'] / 3600:,.1f}"
        theirs = "" if entry == "cnn_jepa" else published.get((method, network), "")
        lines.append(f"| {title} | {speed} | {hours} | {theirs} |")
    return [*lines, ""]


def _published_hours() -> dict[tuple[str, str], str]:
    """The published device-hours by method and network; empty where what reads them is not installed."""
    try:
        from benchmark.analysis.published import REPOSITORY, published
    except ImportError:
        return {}
    runs = published()[REPOSITORY].runs
    return {(run.method, run.backbone): f"{run.device_hours:.1f}" for run in runs if run.device_hours is not None}


def _sections(machine: Machine) -> list[str]:
    lines = []
    for stage in STAGES:
        if (data := machine.get(stage.name)) and data["rows"]:
            lines += [f"### {stage.title}", "", *_table(stage, data["rows"]), ""]
    return lines


def _table(stage: Stage, rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = ["| measured | value | |", "| --- | ---: | --- |"]
    for row in rows:
        value = _NOT_YET if row["value"] is None else f"{number(row['value'])} {row['unit']}".strip()
        lines.append(f"| {cell(row['name'])} | {value} | {cell(row['detail'])} |")
    return lines


def number(value: float) -> str:
    """Three significant digits, and none after the point from a hundred on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cell(text: str) -> str:
    """A text that a table's cell can hold."""
    return text.replace("|", r"\|").replace("<", "&lt;").replace("\n", " ")

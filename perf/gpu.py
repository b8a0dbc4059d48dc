"""Ten minutes on a GPU, turned into numbers: stages with a time limit each, their JSON, and the page docs/gpu.md.

Usage: python perf/gpu.py [--device cuda|cpu] [--tiny] [--data FOLDER] [--out FOLDER] [--only a,b] [--minutes N]
                          [--packages FOLDER] [--page FILE] [--page-only]

`make gpu` calls it. It needs a torch that is there (2.8 or later), no network, and installs nothing; packages that are
missing are named, and stages that need none of them run all the same. `--packages` names a folder that has them.

Every stage runs in a process of its own, which ends at its limit, and writes a small JSON file after every measurement.
A stage that fails ends no other. The same command, given again, does what is missing: finished stages are not repeated
as long as device, versions and code are the same, and the comparison gains a seed for each stay on a card. `--tiny` is
a dry run of everything, on a CPU too; its numbers say nothing.

Exit code 0 if no stage failed, 1 if one did, 2 for bad usage, 130 if interrupted.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import re
import signal
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stages.carry import Plan, carry_out
from stages.page import read_folder, render
from stages.plan import STAGES, TOTAL, Stage

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmark.machine.code import commit_here, output  # noqa: E402 - needs the line above

PAGE = ROOT / "docs" / "gpu.md"
RESULTS = ROOT / "results" / "gpu"
DRY = ROOT / "gpu-dry-run"
_OLDEST = (2, 8)


def main() -> None:
    """Carries out the stages and writes the page."""
    options = _options()
    if options.page_only:
        _write_page(options.page or PAGE, options.out or RESULTS)
        return
    for folder in options.packages:
        sys.path.append(str(folder))
    plan = _plan(options)
    stages = _chosen(options.only)
    print(f"{plan.identity['device']}, torch {plan.identity['torch']}; results: {plan.out}", flush=True)
    _name_missing(stages)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # a scheduler's time limit
    try:
        good = carry_out(stages, plan, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        print("interrupted; the same command resumes from here", flush=True)
        sys.exit(130)
    finally:
        _write_page(
            options.page or (PAGE if plan.device == "cuda" and not plan.tiny else plan.out / "gpu.md"), plan.out
        )
    sys.exit(0 if good else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a dry run: everything as small as it can be")
    parser.add_argument("--data", type=Path, help="image folder of 32 px with train/<class>/, test/<class>/")
    parser.add_argument("--out", type=Path, help="folder of results (results/gpu/<device>)")
    parser.add_argument("--only", help=f"stages, separated by commas: {', '.join(stage.name for stage in STAGES)}")
    parser.add_argument("--minutes", type=float, default=TOTAL / 60, help="for all stages together")
    parser.add_argument("--packages", type=Path, action="append", default=[], help="folder of packages to import from")
    parser.add_argument("--page", type=Path, help="where the page goes (docs/gpu.md; of a dry run beside its results)")
    parser.add_argument("--page-only", action="store_true", help="write the page from the results that are there")
    options = parser.parse_args()
    for name in ("data", *([] if not options.packages else ["packages"])):
        for folder in [options.data] if name == "data" else options.packages:
            if folder is not None and not folder.is_dir():
                parser.error(f"--{name} is '{folder}', which is no folder")
    if options.minutes <= 0:
        parser.error(f"--minutes is {options.minutes:g}; expected more than 0")
    if options.device == "cpu" and not options.tiny and not options.page_only:
        parser.error("--device cpu is for a dry run alone; add --tiny")
    return options


def _plan(options: argparse.Namespace) -> Plan:
    """What all stages have in common; ends with a message where there is no torch or no device."""
    try:
        import torch
    except ImportError as error:
        _refuse(f"torch cannot be imported ({error}); give the python that has it: make gpu GPU_PYTHON=...")
    found = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
    if found < _OLDEST:
        _refuse(f"torch is {torch.__version__}; expected 2.8 or later")
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if options.device == "cuda" and not cards:
        _refuse("no CUDA device is visible; a dry run on the CPU is: make gpu DEVICE=cpu TINY=1")
    commit, changed = commit_here()
    model = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    identity: dict[str, Any] = {
        "device": model,
        "cards": cards if options.device == "cuda" else 0,
        "memory_bytes": torch.cuda.get_device_properties(0).total_memory if options.device == "cuda" else None,
        "driver": _driver() if options.device == "cuda" else None,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "packages": _versions(),
        "commit": commit,
        "changed": changed,
        "code": _code(),
        "data": None if options.data is None else options.data.resolve().name,
        "tiny": options.tiny,
    }
    slug = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")
    out = options.out or (DRY if options.tiny else RESULTS) / slug
    total = 60 * options.minutes
    return Plan(options.device, cards, options.tiny, options.data, out, identity, total, tuple(options.packages))


def _refuse(message: str) -> None:
    print(f"gpu.py: {message}", file=sys.stderr)
    sys.exit(2)


def _driver() -> str | None:
    answer = output(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"])
    return answer.splitlines()[0].strip() if answer else None


def _code() -> str:
    """A digest of the code that is measured: that of the page and of records changes with every stay."""
    digest = hashlib.blake2b(digest_size=16)
    for folder in ("benchmark", "methods", "cnn_jepa", "configs", "perf"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".yaml"):
                digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    """Of the packages that the times depend on."""
    versions = {}
    for name in ("torchvision", "timm", "lightning-fabric", "triton"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _chosen(only: str | None) -> list[Stage]:
    names = [stage.name for stage in STAGES] if only is None else only.split(",")
    if unknown := [name for name in names if name not in {stage.name for stage in STAGES}]:
        _refuse(f"--only: no stage '{unknown[0]}'; choices: {', '.join(stage.name for stage in STAGES)}")
    return [stage for stage in STAGES if stage.name in names]


def _name_missing(stages: list[Stage]) -> None:
    """Says which packages are missing, and which stages cannot run without them."""
    missing: dict[str, list[str]] = {}
    for stage in stages:
        for package in stage.missing():
            missing.setdefault(package, []).append(stage.name)
    for package, names in missing.items():
        print(f"missing here: {package} (needed by {', '.join(names)})", flush=True)


def _write_page(path: Path, folder: Path) -> None:
    """Writes the page from a folder of results, or of all devices' folders."""
    folders = [folder] if any(folder.glob("*.json")) else sorted(p for p in folder.glob("*") if p.is_dir())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render([read_folder(each) for each in folders]), encoding="utf-8")
    print(f"page: {path}", flush=True)


if __name__ == "__main__":
    main()
